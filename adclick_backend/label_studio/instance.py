"""The Label Studio that owns the projects: its API, its tasks, its files."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import requests

from adclick_backend.downloads.breaker import Breakers
from adclick_backend.downloads.fetch import Fetcher, TrustedServer
from adclick_backend.downloads.hosts import FetchError, parse_url
from adclick_backend.label_studio.transport import LabelStudioError, Transport
from adclick_backend.settings import Settings, without_password

__all__ = ["LabelStudio", "LabelStudioError"]

# Answers with a file of a bucket, or with a redirect to its signed URL.
_STORAGE_RESOLVER = re.compile(r"/(tasks|projects)/\d+/(resolve|presign)/")

_FILE_ADVICE = {
    403: "The user of the API key has to be a member of the project; for local files, Label Studio itself "
    "needs LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED=true.",
    404: "The file was deleted, or none of the project's storages in Label Studio covers it.",
    500: "Label Studio answers so when an upload was deleted; otherwise its log says why.",
}


class LabelStudio:
    """One Label Studio and a key to it.

    Keep it and share it between threads: it holds connections and the access token. Every call raises
    LabelStudioError. Calls that do no harm when they arrive twice are repeated with growing waits when the
    connection fails or the answer is 429 or 502 to 504.

    Args:
        url: where this process reaches it, such as ``http://label-studio:8080``.
        api_key: personal access token or legacy token; "" for none.
        unknown: without a URL, why there is none, as a sentence.
        hostname: what it calls itself in ``/setup`` and in the URLs of local files. Inside Docker that is
            often ``http://localhost:8080``, which leads nowhere from here and is taken to mean ``url``.
        session: its connections.
        sleep: waits that many seconds.
        clock: seconds that never run backwards.
        breakers: know which hosts do not answer.
    """

    def __init__(
        self,
        url: str,
        api_key: str = "",
        *,
        hostname: str = "",
        unknown: str = "The address of Label Studio is not known. Set LABEL_STUDIO_URL.",
        session: requests.Session | None = None,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
        breakers: Breakers | None = None,
    ) -> None:
        self.url = without_password(url).rstrip("/")
        self._names = [without_password(name).rstrip("/") for name in (url, hostname) if name]
        self._transport = Transport(
            self.url,
            api_key,
            unknown=unknown,
            session=session,
            sleep=sleep,
            clock=clock,
            breakers=breakers,
        )

    @classmethod
    def for_project(
        cls, settings: Settings, *, hostname: str, token: str, breakers: Breakers | None = None
    ) -> LabelStudio:
        """The Label Studio of a project, from the settings and from what its ``/setup`` said.

        Whoever reaches ``/setup`` can claim any hostname. So LABEL_STUDIO_API_KEY is only ever sent to
        LABEL_STUDIO_URL; without that setting, the hostname gets the token that came along with it.
        """
        if settings.label_studio_url:
            key = settings.label_studio_api_key or token
            return cls(settings.label_studio_url, key, hostname=hostname, breakers=breakers)
        return cls(hostname, token, breakers=breakers)

    def get(self, path: str, **params: object) -> Any:
        """GET a path such as ``/api/projects/1``; the decoded JSON."""
        return self._transport.json("GET", path, params=params)

    def post(self, path: str, body: object = None) -> Any:
        """POST a JSON body; the decoded JSON of the answer, None if that is empty."""
        return self._transport.json("POST", path, json=body)

    def patch(self, path: str, body: object = None) -> Any:
        """PATCH with a JSON body; the decoded JSON of the answer, None if that is empty."""
        return self._transport.json("PATCH", path, json=body)

    def delete(self, path: str) -> None:
        """DELETE what is at a path; what is not there any more is no error."""
        try:
            self._transport.json("DELETE", path)
        except LabelStudioError as error:
            if error.status != 404:
                raise

    def check(self) -> dict[str, Any]:
        """The user the key belongs to."""
        user = self.get("/api/current-user/whoami")
        if not isinstance(user, dict) or "id" not in user:
            raise LabelStudioError(f"{self.url} is not Label Studio. Check LABEL_STUDIO_URL.")
        return user

    def tasks(
        self, project: int | str, *, page_size: int = 100, **params: object
    ) -> Iterator[dict[str, Any]]:
        """Every task of a project with its annotations, drafts and predictions, fetched page by page."""
        query: dict[str, object] = {"project": project, "fields": "all", "page_size": page_size, **params}
        seen, page = 0, 1
        while True:
            try:
                answer = self.get("/api/tasks", page=page, **query)
            except LabelStudioError as error:
                if error.status == 404 and page > 1:
                    return  # tasks were deleted meanwhile, and the last page went with them
                raise
            yield from answer["tasks"]
            seen, page = seen + len(answer["tasks"]), page + 1
            if not answer["tasks"] or seen >= answer["total"]:
                return

    def path_of(self, url: str) -> str | None:
        """Path and query, from ``/``, of a URL on this Label Studio; None for a URL that leads elsewhere.

        Its own are all relative URLs, and the absolute ones below its address or below the name it goes by.
        """
        if url.startswith("/") and not url.startswith("//"):
            prefixes = (urlsplit(name).path + "/" for name in self._names)
            longest = max(len(prefix) if url.startswith(prefix) else 1 for prefix in ("/", *prefixes))
            return url[longest - 1 :]
        for name in self._names if "://" in url else ():
            try:
                home, target = parse_url(name + "/"), parse_url(url)
            except FetchError:
                continue
            if target.url.startswith(home.url):
                return target.url[len(home.url) - 1 :]
        return None

    def download(self, path: str, fetcher: Fetcher) -> bytes:
        """A file that Label Studio serves, within the fetcher's limits; raises FetchError beyond them."""
        origin = self._transport.home.origin

        def fetch(authorization: str) -> bytes:
            try:
                return fetcher.fetch(
                    self.url + path,
                    TrustedServer(origin, authorization),
                    redirects_to_public=bool(_STORAGE_RESOLVER.match(path)),
                )
            except FetchError as error:
                if error.status == 401:
                    raise self._transport.refused() from error
                if advice := _FILE_ADVICE.get(error.status or 0):
                    raise LabelStudioError(f"{error} {advice}", status=error.status) from error
                raise

        return self._transport.patiently(lambda: self._transport.signed(fetch))
