"""What a form has done, said on the next page of the person who sent it, and on no one else's."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace

from flask import Request
from itsdangerous import BadData, URLSafeTimedSerializer
from werkzeug.wrappers import Response

from adclick_backend.dashboard.form_token import FormToken

COOKIE = "adclick_said"
SHOWN_S = 15  # a page that loads itself again goes on saying it for so long
LONGEST = 1500  # characters; a cookie has room for some 4000 bytes


@dataclass(frozen=True)
class Notice:
    """What was done, and how it is taken back."""

    said: str
    undo: str = ""  # address of the form that takes it back; "" when nothing can
    words: str = ""  # on the button of that form


class Notices:
    """Sentences that travel in a signed cookie, so that any worker process can show them and nobody else does.

    Args:
        token: the secret that all workers share, from which the signature comes.
    """

    def __init__(self, token: FormToken) -> None:
        self._token = token

    def send(self, answer: Response, tab: str, project: str, notice: Notice) -> None:
        """Let the page of a project that the answer leads to say something."""
        short = replace(notice, said=notice.said[:LONGEST])
        text = self._signed().dumps([tab, project, asdict(short)])
        answer.set_cookie(COOKIE, text, SHOWN_S, httponly=True, samesite="Lax")

    def read(self, request: Request, tab: str, project: str) -> Notice | None:
        """What this person's form has done, on the page that it led to; None for nothing."""
        try:
            kept = self._signed().loads(request.cookies.get(COOKIE, ""), max_age=SHOWN_S)
        except BadData:
            return None
        return Notice(**kept[2]) if kept[:2] == [tab, project] else None

    def _signed(self) -> URLSafeTimedSerializer:
        return URLSafeTimedSerializer(self._token.value, salt="notice")
