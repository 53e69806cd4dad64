"""``adclick move-data``: what is wrong with the words is said before anything is done."""

from __future__ import annotations

import pytest

from adclick_backend.cli import main


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        ([], 2, "Say where the data folder is to go: --to-database and --to-files"),
        (["--to-database", "postgresql://h/d"], 2, "Say where the data folder is to go"),
        (
            ["--to-database", "postgresql://h/d", "--to-files", "s3://key:secret@bucket"],
            2,
            "--to-files carries a user name or a password",
        ),
        (
            ["--to-database", "mysql://user:secret@h/d", "--to-files", "s3://bucket"],
            1,
            "ADCLICK_DATABASE_URL must name a PostgreSQL database",
        ),
    ],
)
def test_words_that_name_no_place_are_refused(
    words: list[str],
    status: int,
    said: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("ADCLICK_DATABASE_URL", "ADCLICK_FILES_URL"):
        monkeypatch.delenv(name, raising=False)
    assert main(["move-data", *words]) == status
    told = capsys.readouterr().err
    assert told.startswith(said) and "secret" not in told
