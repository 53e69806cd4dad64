from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from adclick_backend import __version__
from adclick_backend.cli import COMMANDS, main


@pytest.fixture(autouse=True)
def no_label_studio(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LABEL_STUDIO_URL", raising=False)


def test_help_names_every_command_without_loading_any(tmp_path: Path) -> None:
    program = (
        "import sys\n"
        "from adclick_backend.cli import main\n"
        "try:\n"
        "    main(['--help'])\n"
        "finally:\n"
        "    loaded = {'torch', 'flask', 'numpy', 'cv2', 'requests', 'pydantic'} & set(sys.modules)\n"
        "    assert not loaded, loaded\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert all(name in done.stdout for name in COMMANDS)


def test_help_is_quick(tmp_path: Path) -> None:
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        program = [sys.executable, str(Path(sys.executable).parent / "adclick"), "--help"]
        subprocess.run(program, capture_output=True, check=True, cwd=tmp_path)
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < 0.3


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["--version"])
    assert capsys.readouterr().out == f"adclick {__version__}\n"


@pytest.mark.parametrize("words", [[], ["paint"], ["connect"], ["connect", "--project", "x"], ["references"]])
def test_wrong_use_is_answered_with_the_usage(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(words)
    assert "usage: adclick" in capsys.readouterr().err


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_every_command_explains_itself(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main([command, "--help"])
    assert COMMANDS[command].summary.split()[0] in capsys.readouterr().out


def test_connect_without_an_address_says_what_to_give(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["connect", "--project", "1"]) == 2
    assert "LABEL_STUDIO_API_KEY" in capsys.readouterr().out


def test_options_of_serve_go_before_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from adclick_backend.web import server

    served = []
    monkeypatch.setattr(server, "serve", served.append)
    monkeypatch.setenv("ADCLICK_DATA_DIR", str(tmp_path / "unused"))
    assert main(["serve", "--port", "9191", "--data-dir", str(tmp_path)]) == 0
    (settings,) = served
    assert (settings.port, settings.data_dir) == (9191, tmp_path)


def test_an_interrupted_command_ends_quietly(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from adclick_backend.web import server

    def stopped(_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(server, "serve", stopped)
    assert main(["serve"]) == 130
    assert capsys.readouterr().err == "Interrupted.\n"
