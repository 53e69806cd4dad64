"""The settings of a detector on the line, read once from the environment: names, rules and defaults of the backend."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields

from adclick_runtime.errors import SettingsError
from adclick_runtime.serving.auth import listen_on

_NAMES = {
    "port": ("ADCLICK_PORT", "PORT"),
    "basic_auth_user": ("ADCLICK_BASIC_AUTH_USER", "BASIC_AUTH_USER"),
    "basic_auth_pass": ("ADCLICK_BASIC_AUTH_PASS", "BASIC_AUTH_PASS"),
    "log_level": ("ADCLICK_LOG_LEVEL", "LOG_LEVEL"),
}
"""Of the fields that have other names than ``ADCLICK_<FIELD>``; the first that is set counts."""

_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")


@dataclass(frozen=True)
class Settings:
    """What can be set.

    Attributes:
        host: address to listen on, see `listen_on`.
        port: to listen on.
        basic_auth_user: name that callers have to show.
        basic_auth_pass: password that goes with it; without either, everybody may call.
        served_as: further names that the server is asked for by.
        max_image_mb: million bytes of an image file, at most.
        max_megapixels: of an image, at most.
        model_threads: processor threads of the networks.
        log_level: how much is logged.
    """

    host: str = ""
    port: int = 9090
    basic_auth_user: str = ""
    basic_auth_pass: str = field(default="", repr=False)
    served_as: tuple[str, ...] = ()
    max_image_mb: int = 100
    max_megapixels: int = 120
    model_threads: int = os.cpu_count() or 1
    log_level: str = "INFO"

    @property
    def needs_password(self) -> bool:
        """Whether callers have to show a user and a password."""
        return bool(self.basic_auth_user or self.basic_auth_pass)

    @property
    def listen_on(self) -> str:
        """The address to listen on; without a password this machine's own, unless another one is named."""
        return listen_on(self.host, needs_password=self.needs_password)

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Settings:
        """The settings that `environment` holds, the defaults of what it does not; raises SettingsError."""
        found: dict[str, str | int | tuple[str, ...]] = {}
        for each in fields(cls):
            names = _NAMES.get(each.name, (f"ADCLICK_{each.name.upper()}",))
            name = next((name for name in names if name in environment), "")
            if not name:
                continue
            value = environment[name]
            if each.name == "served_as":
                found[each.name] = tuple(part.strip().lower() for part in value.split(",") if part.strip())
            elif isinstance(each.default, int):
                found[each.name] = _number(name, value, 0 if each.name == "port" else 1)
            else:
                found[each.name] = value
        if (level := str(found.get("log_level", "INFO")).upper()) not in _LEVELS:
            raise SettingsError(f"ADCLICK_LOG_LEVEL: must be one of {', '.join(_LEVELS)}, and not {level!r}.")
        return cls(**{**found, "log_level": level})  # type: ignore[arg-type]


def _number(name: str, value: str, least: int) -> int:
    try:
        number = int(value)
    except ValueError:
        number = least - 1
    if number < least:
        raise SettingsError(f"{name}: must be a whole number from {least} on, and not {value!r}.")
    return number
