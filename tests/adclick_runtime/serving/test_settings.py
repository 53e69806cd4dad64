"""The settings have the backend's names, rules and defaults."""

from __future__ import annotations

from dataclasses import fields

import pytest

from adclick_backend.settings import Settings as OfTheBackend
from adclick_runtime.errors import SettingsError
from adclick_runtime.serving.settings import Settings

SET = {
    "ADCLICK_HOST": "10.0.0.5",
    "PORT": "8000",
    "BASIC_AUTH_USER": "u",
    "ADCLICK_BASIC_AUTH_PASS": "p",
    "ADCLICK_SERVED_AS": "A.example.com, *.b.example.com,",
    "ADCLICK_MAX_IMAGE_MB": "7",
    "ADCLICK_MAX_MEGAPIXELS": "3",
    "ADCLICK_MODEL_THREADS": "4",
    "LOG_LEVEL": "WARNING",
}


@pytest.mark.parametrize("environment", [{}, SET, {"PORT": "1", "ADCLICK_PORT": "2"}])
def test_both_read_the_same_environment_in_the_same_way(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in SET:
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    here, there = Settings.of(environment), OfTheBackend()
    names = [*(each.name for each in fields(Settings)), "listen_on", "needs_password"]
    assert [getattr(here, name) for name in names] == [getattr(there, name) for name in names]


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("PORT", "http", "PORT: must be a whole number from 0 on, and not 'http'."),
        (
            "ADCLICK_MAX_MEGAPIXELS",
            "0",
            "ADCLICK_MAX_MEGAPIXELS: must be a whole number from 1 on, and not '0'.",
        ),
        ("LOG_LEVEL", "loud", "must be one of DEBUG, INFO"),
    ],
)
def test_a_setting_that_cannot_be_is_named(name: str, value: str, words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        Settings.of({name: value})


def test_no_password_is_shown() -> None:
    assert "hunter2" not in repr(Settings(basic_auth_pass="hunter2"))
