"""The image of a task, from wherever its address leads, as bytes and as pixels."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from adclick_backend.downloads.breaker import Breakers
from adclick_backend.downloads.fetch import Fetcher
from adclick_backend.downloads.hosts import FetchError, parse_url
from adclick_backend.errors import ImageError
from adclick_backend.images.data_uris import is_data_uri, read_data_uri
from adclick_backend.images.decode import (
    Pixels,
    decode_deep,
    decode_image,
    image_size,
    is_deep,
    show_deep,
)
from adclick_backend.images.download_cache import DownloadCache
from adclick_backend.images.local_files import LocalFiles, is_local_files_path
from adclick_backend.label_studio.instance import LabelStudio, LabelStudioError
from adclick_backend.settings import Settings
from adclick_runtime.images.deep import Brightness, DeepImage

__all__ = ["ImageError", "ImageSource", "LoadedImage", "decode_image"]

_CLOUD_SCHEMES = ("s3://", "gs://", "azure-blob://")
_UPLOADS = "/data/upload/"  # each upload has a name of its own, so its content never changes
_MAX_AGE_S = 3600.0  # of a cached copy of anything else


@dataclass(frozen=True)
class LoadedImage:
    """An image file; what its pixels are needed for raises ImageError."""

    data: bytes
    max_megapixels: float

    @cached_property
    def sha256(self) -> str:
        """Hexadecimal SHA-256 of the file, by which everything computed from the image is found again."""
        return hashlib.sha256(self.data).hexdigest()

    @cached_property
    def size(self) -> tuple[int, int]:
        """Width and height of the upright image, read from the header; raises ImageError."""
        return image_size(self.data, max_megapixels=self.max_megapixels)

    @cached_property
    def is_deep(self) -> bool:
        """Whether it has more than 8 bits a channel, read from the header."""
        return is_deep(self.data, max_megapixels=self.max_megapixels)

    @property
    def brightness(self) -> Brightness:
        """The white points that suit an image of more than 8 bits."""
        return self._deep.brightness

    @cached_property
    def pixels(self) -> Pixels:
        """RGB, HWC uint8, [0, 255], upright; of 16-bit images the whole scale."""
        return self.read(0)

    def read(self, white: int) -> Pixels:
        """RGB, HWC uint8, [0, 255], upright; the value `white` of 16-bit images becomes 255."""
        if self.is_deep:
            return show_deep(self._deep, white)
        return decode_image(self.data, max_megapixels=self.max_megapixels)

    @cached_property
    def _deep(self) -> DeepImage:
        deep = decode_deep(self.data, max_megapixels=self.max_megapixels)
        if deep is None:
            raise TypeError("An image of 8 bits has no white point.")
        return deep


class ImageSource:
    """Reads the images of tasks. Safe to share between threads.

    ===============================================  ==================================================
    address in the task                              read from
    ===============================================  ==================================================
    ``/data/upload/...`` and all other paths         Label Studio, with the API key
    absolute URL of Label Studio                     the same
    ``.../data/local-files/?d=...``                  ``local_files_root`` if it is there, else the same
    ``s3://``, ``gs://``, ``azure-blob://``          the bucket, by the URL that Label Studio signs
    ``data:image/...``                               the address itself
    any other ``http://``, ``https://``              that host, if ADCLICK_IMAGE_HOSTS allows it
    ===============================================  ==================================================

    Downloads are kept on disk, apart for each project, in a quarter of ``disk_cache_mb``.

    Args:
        settings: limits, allow-list and the folder of local files.
        label_studio: the one the tasks come from.
        cache_dir: folder for downloads.
        breakers: know which hosts do not answer.
    """

    def __init__(
        self,
        settings: Settings,
        label_studio: LabelStudio,
        cache_dir: Path,
        breakers: Breakers | None = None,
    ) -> None:
        self._max_bytes = max_bytes = settings.max_image_mb * 1_000_000
        self._label_studio = label_studio
        self._max_megapixels = settings.max_megapixels
        self._local_files = LocalFiles(settings.local_files_root, max_bytes=max_bytes)
        self._cache = DownloadCache(cache_dir, settings.disk_cache_mb * 1_000_000 // 4)
        self._fetcher = Fetcher(
            settings.image_hosts,
            max_bytes=max_bytes,
            connect_timeout_s=settings.connect_timeout_s,
            timeout_s=settings.fetch_timeout_s,
            breakers=breakers,
        )

    def load(self, url: str, *, project: str, task_id: int | None) -> LoadedImage:
        """The image behind a task's address; see read."""
        return LoadedImage(self.read(url, project=project, task_id=task_id), self._max_megapixels)

    def read(self, url: str, *, project: str, task_id: int | None) -> bytes:
        """The bytes behind a task's address.

        Args:
            url: value of the task's image field.
            project: id of the project, digits only; cached copies never cross projects.
            task_id: the task; Label Studio finds the storage of a cloud address through it.

        Raises ImageError.
        """
        if is_data_uri(url):
            return read_data_uri(url, max_bytes=self._max_bytes)
        path = self._path(url, project, task_id)
        if path is not None and is_local_files_path(path):
            data = self._local_files.read(path)
            if data is not None:
                return data
        uploaded = path is not None and path.startswith(_UPLOADS)
        return self._cache.get(
            project,
            f"{self._label_studio.url} {url}",
            lambda: self._download(url, path),
            max_age_s=None if uploaded else _MAX_AGE_S,
        )

    def host_of(self, url: str) -> str:
        """Scheme, name and port of the server that is asked for an address; "" for one that is read from here."""
        if is_data_uri(url):
            return ""
        path = self._path(url, "", None)
        if path is not None:
            local = is_local_files_path(path) and self._local_files.holds(path)
            return "" if local else self._label_studio.url
        try:
            return parse_url(url).origin
        except FetchError:
            return ""

    def _path(self, url: str, project: str, task_id: int | None) -> str | None:
        """The path on Label Studio behind an address; None for one that leads elsewhere."""
        if url.startswith(_CLOUD_SCHEMES):
            return _resolver_path(url, project, task_id)
        return self._label_studio.path_of(url)

    def _download(self, url: str, path: str | None) -> bytes:
        """The bytes behind a URL, or behind a path on Label Studio."""
        if path is None:
            data = self._fetcher.fetch(url)
        else:
            try:
                data = self._label_studio.download(path, self._fetcher)
            except LabelStudioError as error:
                raise ImageError(str(error)) from error
        # A login page that came with a 200 must not be kept in the image's place.
        image_size(data, max_megapixels=self._max_megapixels)
        return data


def _resolver_path(uri: str, project: str, task_id: int | None) -> str:
    """The path on Label Studio that answers with a file of a bucket."""
    owner = f"projects/{project}" if task_id is None else f"tasks/{task_id}"
    return f"/{owner}/resolve/?fileuri={base64.urlsafe_b64encode(uri.encode()).decode()}"
