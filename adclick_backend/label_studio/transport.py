"""Requests to Label Studio's API: signed, repeated while that can help, failing in sentences."""

from __future__ import annotations

import random
from collections.abc import Callable
from http.cookiejar import DefaultCookiePolicy
from typing import Any, TypeVar

import requests

from adclick_backend import deadline
from adclick_backend.downloads.breaker import Breakers
from adclick_backend.downloads.hosts import FetchError, Target, parse_url
from adclick_backend.downloads.watchdog import Watchdog
from adclick_backend.label_studio.api_key import ApiKey
from adclick_backend.label_studio.watched import WatchedAdapter

Answer = TypeVar("Answer")

ATTEMPTS = 4
_FIRST_WAIT_S = 0.5
_LONGEST_WAIT_S = 10.0
_PASSING = {429, 502, 503, 504}
_CONNECT_S, _READ_S = 5.0, 60.0  # to the next byte: an export of a large project takes its time
_WHOLE_S = 300.0  # for one request and all of its answer, where the deadline is not earlier

_NEW_KEY = (
    "Create a personal access token in Label Studio (Account & Settings > Personal Access Token) and set "
    "LABEL_STUDIO_API_KEY to it."
)


class LabelStudioError(RuntimeError):
    """Label Studio cannot be reached or refuses.

    ``status`` is its HTTP status where there is one; ``passing`` is True for what another attempt may cure.
    """

    def __init__(self, message: str, *, status: int | None = None, passing: bool = False) -> None:
        super().__init__(message)
        self.status = status
        self.passing = passing


class Transport:
    """Connections, key and patience of one Label Studio; see LabelStudio for the arguments."""

    def __init__(
        self,
        url: str,
        api_key: str,
        *,
        unknown: str,
        session: requests.Session | None,
        sleep: Callable[[float], None],
        clock: Callable[[], float],
        breakers: Breakers | None,
    ) -> None:
        self.url = url.rstrip("/")
        self._unknown = unknown
        self._key = ApiKey(api_key, self._exchange, clock, lambda: deadline.remaining(_READ_S))
        self._breakers = breakers or Breakers()
        self._session = session or requests.Session()
        self._session.mount("http://", WatchedAdapter())
        self._session.mount("https://", WatchedAdapter())
        # With a session cookie Label Studio would ask for a CSRF token as well.
        self._session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        self._sleep = sleep

    @property
    def home(self) -> Target:
        """The address, taken apart; raises LabelStudioError when it is missing or not one."""
        if not self.url:
            raise LabelStudioError(self._unknown)
        try:
            return parse_url(self.url)
        except FetchError as error:
            raise LabelStudioError(
                f"LABEL_STUDIO_URL is {self.url!r}, which is not an address such as http://192.168.1.10:8080."
            ) from error

    def json(self, method: str, path: str, **options: Any) -> Any:
        """Decoded JSON of an answer, None for an empty one; options are those of requests."""
        response = self.patiently(
            lambda: self.signed(lambda authorization: self._send(method, path, authorization, **options))
        )
        return _decoded(response) if response.content else None

    def patiently(self, call: Callable[[], Answer]) -> Answer:
        """Call until it works, fails for good, has failed ATTEMPTS times, or the time is over."""
        for attempt in range(ATTEMPTS - 1):
            # Jitter, so that the many clients of a server that comes back do not return in step.
            wait = min(_FIRST_WAIT_S * 2**attempt, _LONGEST_WAIT_S) * random.uniform(0.5, 1.0)
            try:
                return call()
            except (LabelStudioError, FetchError) as error:
                in_time = deadline.remaining(_WHOLE_S) > wait
                if not error.passing or not in_time or self._breakers.rests(self.home.origin):
                    raise
            self._sleep(wait)
        return call()

    def signed(self, call: Callable[[str], Answer]) -> Answer:
        """Call with the Authorization header, and once more with a fresh token when the first is refused."""
        authorization = self._authorization()
        try:
            return call(authorization)
        except LabelStudioError as error:
            if error.status != 401 or not self._key.is_personal:
                raise
        self._key.forget(authorization)
        return call(self._authorization())

    def _authorization(self) -> str:
        try:
            return self._key.header()
        except TimeoutError as error:
            raise LabelStudioError(_late(self.url, deadline.total(_READ_S)), passing=True) from error

    def refused(self) -> LabelStudioError:
        """What to say to a 401."""
        if not self._key:
            reason = f"Label Studio at {self.url} asks for an API key, and none is set. {_NEW_KEY}"
        elif self._key.is_shortened:
            reason = (
                "LABEL_STUDIO_API_KEY holds a shortened token, two parts instead of three: Label Studio "
                f"shows the whole one only once, when it is created. {_NEW_KEY}"
            )
        elif self._key.is_personal:
            reason = (
                f"Label Studio at {self.url} refuses the personal access token in LABEL_STUDIO_API_KEY: it "
                "was revoked, has expired, or was made by another Label Studio or before this one's secret key was "
                f"replaced (a restart without its data folder does that). {_NEW_KEY}"
            )
        else:
            reason = (
                f"Label Studio at {self.url} refuses the legacy token: it is wrong, or legacy tokens are switched "
                f"off, as they are in new organizations (Organization > API Tokens Settings). {_NEW_KEY}"
            )
        return LabelStudioError(reason, status=401)

    def _exchange(self, personal_token: str) -> str:
        """A fresh access token for a personal access token."""
        body = {"refresh": personal_token}
        answer = _decoded(self._send("POST", "/api/token/refresh", "", repeatable=True, json=body))
        return str(answer["access"])

    def _send(
        self, method: str, path: str, authorization: str, *, repeatable: bool = False, **options: Any
    ) -> requests.Response:
        """One request; ``repeatable`` marks a POST that does no harm when it arrives twice."""
        repeatable = repeatable or method in ("GET", "DELETE")
        origin, seconds = self.home.origin, deadline.remaining(_WHOLE_S)
        if not seconds:
            raise LabelStudioError(_late(self.url, deadline.total(_WHOLE_S)), passing=True)
        if refusal := self._breakers.refusal(origin):
            raise LabelStudioError(f"Label Studio at {refusal}", passing=True)
        with Watchdog(seconds) as watchdog:
            try:
                response = self._session.request(
                    method,
                    origin + self.home.path.rstrip("/") + path,
                    auth=_sign(authorization),
                    timeout=(min(_CONNECT_S, seconds), min(_READ_S, seconds)),
                    allow_redirects=False,
                    **options,
                )
                watchdog.check()
            except (requests.RequestException, TimeoutError) as error:
                late = watchdog.expired or isinstance(error, requests.ReadTimeout)
                hurried = late and seconds < _READ_S
                self._breakers.failed(origin, cut_after_s=seconds if hurried else None)
                reason = _late(self.url, min(seconds, _READ_S)) if late else _silence(self.url, error)
                raise LabelStudioError(reason, passing=repeatable) from error
        self._breakers.answered(origin)
        status = response.status_code
        if status == 401:
            raise self.refused()
        if status >= 300:
            passing = status == 429 or (repeatable and status in _PASSING)
            raise LabelStudioError(_complaint(response), status=status, passing=passing)
        return response


def _sign(authorization: str) -> Callable[[requests.PreparedRequest], requests.PreparedRequest]:
    """The header as requests' ``auth``: a bare header would be replaced by what ~/.netrc says of the host."""

    def sign(request: requests.PreparedRequest) -> requests.PreparedRequest:
        if authorization:
            request.headers["Authorization"] = authorization
        return request

    return sign


def _decoded(response: requests.Response) -> Any:
    try:
        return response.json()
    except ValueError as error:
        raise LabelStudioError(
            f"{response.url.partition('?')[0]} answers with something else than JSON. Check that "
            "LABEL_STUDIO_URL is the address of Label Studio itself."
        ) from error


def _late(url: str, seconds: float) -> str:
    """What to say when an answer was waited for in vain."""
    return (
        f"Label Studio at {url} did not answer within {seconds:.0f} s. Check that it runs and is not overloaded, and "
        "that LABEL_STUDIO_URL is its address as seen from this backend."
    )


def _silence(url: str, error: Exception) -> str:
    """What to say when there is no answer at all."""
    if isinstance(error, requests.exceptions.SSLError):
        return (
            f"The certificate of Label Studio at {url} is not trusted. If it is your company's own, set "
            "REQUESTS_CA_BUNDLE to a file with your certificate authority."
        )
    what = (
        f"gave no connection within {_CONNECT_S:.0f} s"
        if isinstance(error, requests.Timeout)
        else "cannot be reached"
    )
    return (
        f"Label Studio at {url} {what}. Check that it runs and that LABEL_STUDIO_URL is its address as seen "
        "from this backend; inside a container, localhost is the container itself."
    )


def _complaint(response: requests.Response) -> str:
    """What to say to a status from 300 on, with Label Studio's own words where it has some."""
    where = f"{response.request.method} {response.url.partition('?')[0]}"
    if response.is_redirect:
        return (
            f"{where} is redirected to {response.headers['Location']}. Set LABEL_STUDIO_URL to the address "
            "that Label Studio answers at without a redirect."
        )
    try:
        body = response.json()
    except ValueError:
        body = None
    told = [body.get(key) for key in ("detail", "validation_errors")] if isinstance(body, dict) else []
    words = " ".join(str(part) for part in told if part)[:500] or response.reason
    return f"Label Studio answers {response.status_code} to {where}: {words}"
