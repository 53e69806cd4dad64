"""Downloads that cannot be turned against the network they run in.

The address in a task is whatever somebody imported. So: http(s) only, hosts by allow-list, the name resolved
once and the connection made to the very address that was checked, all of it again for every redirect; a limit
on the bytes and one on the time of the whole download; and Label Studio's token for Label Studio alone.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property, partial
from http.client import HTTPException, HTTPResponse
from typing import NamedTuple
from urllib.parse import urljoin

from adclick_backend import __version__, deadline
from adclick_backend.downloads.breaker import Breakers
from adclick_backend.downloads.encodings import decoded
from adclick_backend.downloads.hosts import FetchError, HostAtRest, HostRules, Target, parse_url, resolve
from adclick_backend.downloads.pinned import PinnedConnection, trusted_authorities
from adclick_backend.downloads.watchdog import Watchdog

__all__ = ["FetchError", "Fetcher", "TrustedServer"]

MAX_REDIRECTS = 5
_REDIRECTS = {301, 302, 303, 307, 308}
_PASSING = {429, 502, 503, 504}
_CHUNK = 256 * 1024
_MOVING = 10_000  # bytes a second; a host that sends fewer does not answer


class TrustedServer(NamedTuple):
    """Label Studio, as a download sees it: welcome wherever it stands, and alone in being given the token."""

    origin: str  # scheme://host[:port]
    authorization: str  # value of the Authorization header, "" for none


class Fetcher:
    """Guarded downloads into memory. Safe to share between threads.

    Args:
        hosts: entries of the allow-list, see HostRules.
        max_bytes: largest body that is accepted.
        connect_timeout_s: patience for each address of a host.
        timeout_s: patience for the whole download, redirects included; less when the :mod:`..deadline` is earlier.
        breakers: know which hosts do not answer.
    """

    def __init__(
        self,
        hosts: Sequence[str],
        *,
        max_bytes: int,
        connect_timeout_s: float,
        timeout_s: float,
        breakers: Breakers | None = None,
    ) -> None:
        self._breakers = breakers or Breakers()
        self._rules = HostRules(tuple(hosts))
        self._max_bytes = max_bytes
        self._connect_timeout_s = connect_timeout_s
        self._timeout_s = timeout_s

    def fetch(
        self, url: str, trusted: TrustedServer | None = None, *, redirects_to_public: bool = False
    ) -> bytes:
        """The body behind a URL.

        Args:
            trusted: the server that needs no allow-list entry and gets the token. The token travels only
                while every hop so far was on this server; a redirect away from it drops the token for good.
            redirects_to_public: let redirects lead to any public address. For Label Studio's storage
                resolver, which answers with the signed URL of a bucket that its administrator configured.

        Raises FetchError.
        """
        target = parse_url(url)
        authorization = trusted.authorization if trusted else ""
        seconds = deadline.remaining(self._timeout_s)
        if not seconds:
            raise FetchError(
                f"No time was left to fetch {target}: this request had {deadline.total(self._timeout_s):.0f} s. "
                "Click again.",
                passing=True,
            )
        with Watchdog(seconds) as watchdog:
            for hop in range(MAX_REDIRECTS + 1):
                at_home = trusted is not None and target.origin == trusted.origin
                if not at_home:
                    authorization = ""
                addresses = self._addresses(
                    target, at_home=at_home, any_public=redirects_to_public and hop > 0, trusted=trusted
                )
                with self._request(target, addresses, authorization, watchdog) as response:
                    if response.status not in _REDIRECTS:
                        return self._body(target, response, watchdog)
                    target = parse_url(urljoin(target.url, response.headers.get("Location", "")))
        raise FetchError(f"{parse_url(url)} redirects more than {MAX_REDIRECTS} times, so it was given up.")

    def _addresses(
        self, target: Target, *, at_home: bool, any_public: bool, trusted: TrustedServer | None
    ) -> list[str]:
        """The addresses that may be connected to for this hop."""
        if at_home or self._rules.names(target):
            return self._resolve(target, public_only=False)
        if any_public or self._rules.matches(target):
            return self._resolve(target, public_only=True)
        if trusted and parse_url(trusted.origin).host == target.host:
            raise FetchError(
                f"The image is at {target.origin}, but Label Studio is known as {trusted.origin}: set "
                "LABEL_STUDIO_URL to the address that Label Studio answers at without a redirect, "
                f"or add {target.netloc} to ADCLICK_IMAGE_HOSTS."
            )
        raise FetchError(
            f"{target.netloc} is neither Label Studio nor in {self._rules.describe()}: nothing was fetched. "
            f"If images may come from there, add {target.netloc} to ADCLICK_IMAGE_HOSTS."
        )

    def _resolve(self, target: Target, *, public_only: bool) -> list[str]:
        if refusal := self._breakers.refusal(target.origin):
            raise HostAtRest(refusal)
        try:
            return resolve(target, public_only=public_only)
        except FetchError as error:
            if error.passing:
                self._breakers.failed(target.origin)
            else:
                self._breakers.answered(target.origin)
            raise

    @contextmanager
    def _request(
        self, target: Target, addresses: list[str], authorization: str, watchdog: Watchdog
    ) -> Iterator[HTTPResponse]:
        """GET one hop; network failures inside the block become FetchErrors too."""
        tls = self._tls if target.scheme == "https" else None
        connection = PinnedConnection(target, addresses, self._connect_timeout_s, tls, watchdog)
        headers = {
            "Host": target.netloc,
            "User-Agent": f"adclick-backend/{__version__}",
            "Accept": "*/*",
            "Accept-Encoding": "identity",
            **({"Authorization": authorization} if authorization else {}),
        }
        try:
            connection.request("GET", target.path, headers=headers)
            with connection.getresponse() as response:
                yield response
            # A connection cut at the deadline can look like a body that ended in good order.
            watchdog.check()
            self._breakers.answered(target.origin)
        except FetchError:  # whatever it answered, it is there
            self._breakers.answered(target.origin)
            raise
        except ssl.SSLCertVerificationError as error:
            self._breakers.answered(target.origin)
            raise FetchError(
                f"The certificate of {target.netloc} is not trusted: {error.verify_message}. If it is your "
                "company's own, set REQUESTS_CA_BUNDLE to a file with your certificate authority."
            ) from error
        except (OSError, HTTPException) as error:
            self._note(target, watchdog)
            raise FetchError(f"{target} {self._reason(target, error, watchdog)}.", passing=True) from error
        finally:
            connection.close()

    def _note(self, target: Target, watchdog: Watchdog) -> None:
        """Tell the circuit breaker how a download failed."""
        if watchdog.expired and watchdog.received >= _MOVING * watchdog.seconds:
            self._breakers.answered(target.origin)
            return
        hurried = watchdog.expired and watchdog.seconds < self._timeout_s
        self._breakers.failed(target.origin, cut_after_s=watchdog.seconds if hurried else None)

    def _reason(self, target: Target, error: Exception, watchdog: Watchdog) -> str:
        """Why a download failed, as the end of a sentence."""
        if not watchdog.expired:
            return f"cannot be fetched: {error or type(error).__name__}"
        if watchdog.seconds == self._timeout_s:
            return f"took longer than {self._timeout_s:g} s (ADCLICK_FETCH_TIMEOUT_S)"
        return (
            f"did not come within the {watchdog.seconds:.0f} s that this request had left; check that {target.origin} "
            "runs and can be reached from this backend, then click again"
        )

    def _body(self, target: Target, response: HTTPResponse, watchdog: Watchdog) -> bytes:
        if response.status != 200:
            raise FetchError(
                f"{target} answered {response.status} {response.reason}.",
                status=response.status,
                passing=response.status in _PASSING,
            )
        limit = f"{self._max_bytes / 1e6:g} MB (ADCLICK_MAX_IMAGE_MB)"
        too_large = FetchError(f"{target} is larger than {limit}, so it was not read.")
        if (response.length or 0) > self._max_bytes:
            raise too_large
        codings = ",".join(response.headers.get_all("Content-Encoding", []))
        body = bytearray()
        for chunk in decoded(
            iter(partial(response.read, _CHUNK), b""),
            codings,
            refuse=lambda reason: FetchError(f"{target} {reason}."),
        ):
            body += chunk
            watchdog.received += len(chunk)
            if len(body) > self._max_bytes:
                raise too_large
        if response.length:
            raise ConnectionError(f"the connection ended {response.length} bytes early")
        return bytes(body)

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        return trusted_authorities()
