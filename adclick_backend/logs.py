"""Log lines: one per event, with the id of the request they belong to and without secrets."""

from __future__ import annotations

import logging
import re
import secrets
from collections.abc import Iterable
from contextvars import ContextVar
from typing import Any

request_id: ContextVar[str] = ContextVar("request_id", default="-")

_CREDENTIALS = re.compile(
    r"(?i)\b(Basic|Bearer|Token)\s+[A-Za-z0-9+/=_.\-]{8,}"
    r"|(?P<url>://)[^/?#\s@]+@"
    r"|(?P<key>\"?(?:access_token|refresh|token|password|api_key)\"?\s*[:=]\s*\"?)[^\s\",&}]+"
)
_GIVEN_ID = re.compile(r"[A-Za-z0-9._\-]{1,64}")
_SHORTEST = 4  # characters of a secret; to hide less would make the log unreadable
_MOST = 1000  # secrets that came after the start: whoever sends ever new ones shall not slow every line down
_hidden: tuple[str, ...] = ()


def hide(secret: str) -> None:
    """Keep a secret that this process just learned out of its log lines."""
    global _hidden
    secret = secret.strip()
    if len(secret) >= _SHORTEST and secret not in _hidden:
        _hidden = (*_hidden[1 - _MOST :], secret)


def new_request_id(given: str | None) -> str:
    """The id that a proxy gave the request when it is fit for a log line, else a fresh one."""
    return given if given and _GIVEN_ID.fullmatch(given) else secrets.token_hex(6)


def redact(text: str, known: Iterable[str] = ()) -> str:
    """`text` with the `known` secrets, and whatever looks like a credential, replaced by ``***``."""
    for secret in sorted(known, key=len, reverse=True):  # one may be a part of another
        text = text.replace(secret, "***")
    return _CREDENTIALS.sub(_without_credential, text)


def _without_credential(found: re.Match[str]) -> str:
    if found["url"]:
        return "://***@"
    return f"{found['key'] or (found[1] + ' ')}***"


def escaped(text: str) -> str:
    """`text` with whatever a terminal or an editor would not show as a character written as its escape."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode("ascii") for one in text)


class LineFormatter(logging.Formatter):
    """``2026-11-23 09:10:18 INFO adclick_backend.web.app [3f9c01] message``, tracebacks included, secrets not."""

    LINE = "%(asctime)s %(levelname)s %(name)s [%(request_id)s] %(message)s"
    DATE = "%Y-%m-%d %H:%M:%S"

    def __init__(self, known_secrets: Iterable[str] = (), line: str = LINE, date: str = DATE) -> None:
        super().__init__(line, date)
        self._known = [secret for secret in known_secrets if len(secret) >= _SHORTEST]

    def formatMessage(self, record: logging.LogRecord) -> str:
        """The line without a traceback; what a client sent cannot begin a line of its own."""
        return escaped(super().formatMessage(record))

    def formatException(self, ei: Any) -> str:
        """The traceback, indented: what a client sent may be in it, too."""
        return "\n".join(f"  {escaped(line)}" for line in super().formatException(ei).split("\n"))

    def format(self, record: logging.LogRecord) -> str:
        """The whole text of the record."""
        record.request_id = request_id.get()
        return redact(super().format(record), [*self._known, *_hidden])


def configure_logging(level: str, known_secrets: Iterable[str] = ()) -> None:
    """Send the log lines of this process, also those of its web server, to standard error."""
    handler = logging.StreamHandler()
    handler.setFormatter(LineFormatter(known_secrets))
    for name in ("adclick_backend", "waitress"):
        logger = logging.getLogger(name)
        logger.handlers[:] = [handler]
        logger.propagate = False
        logger.setLevel(level.upper())
