"""An object store as the place for files, seen through a cache on this machine."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import threading
import time
from collections.abc import Callable, Iterable
from datetime import datetime, timezone
from glob import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from adclick_backend.errors import FilesError
from adclick_backend.keyed_locks import KeyedLocks
from adclick_backend.store.files.cache import MANIFEST, FileCache, parse_manifest
from adclick_backend.store.files.kept import checked_name
from adclick_backend.store.files.words import is_away, trouble

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

T = TypeVar("T")

REST_S, MOST_REST_S = 3.0, 30.0
"""After the store could not be reached, nothing is asked of it for so long, or for as long as that took to see, within
limits: those who come next are told at once."""

LISTED_S = 2.0
"""What a list of a folder said of the objects in it holds for so long: who shows a page of them asks once."""

PROBE = ".probe"

_LASTING = re.compile(r"([0-9a-f]{32}|[0-9a-f]{64})(\.\w{1,5})?|.+\.[0-9a-f]{16}", re.ASCII)
_SHA = re.compile(r"([0-9a-f]{64})(\.\w{1,5})?", re.ASCII)


class ObjectFiles:
    """Files in an object store; see `Files`.

    A file is one object, which a store writes whole or not at all. A folder is whole when the list of its files, with
    sizes and SHA-256, is there, which is written last. What never changes is read from this machine from the second
    time on, without a question to the store; of all else the store is asked whether it is still the same.

    Args:
        connect: gives a connection to the store; called once in each process that needs one.
        root: bucket and prefix.
        shown: what a person knows the store by.
        cache: copies on this machine.
        clock: monotonic seconds.
    """

    local = False

    def __init__(
        self,
        connect: Callable[[], AbstractFileSystem],
        root: str,
        shown: str,
        cache: FileCache,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._connect, self._root, self._shown, self._cache = connect, root, shown, cache
        self._clock = clock
        self._connected: tuple[int, AbstractFileSystem] | None = None
        self._connecting = threading.Lock()
        self._fetching = KeyedLocks()
        self._listed: dict[str, dict[str, Any]] = {}  # place -> what the last list of a folder said of it
        self._listed_at = 0.0
        self._rest: tuple[float, FilesError] | None = None

    def path(self, name: str) -> Path:
        """See `Files`. What may have been replaced is served from this machine while the store cannot be reached."""
        lasting = _LASTING.fullmatch(checked_name(name).rpartition("/")[2])
        if lasting and (known := self._cache.get(name)):
            return known
        with self._fetching.hold(name):
            if lasting and (known := self._cache.get(name)):
                return known
            try:
                info = self._info(self._of(name))
            except FilesError:
                if (known := self._cache.latest(name)) is None:
                    raise
                return known
            if info["type"] == "directory":
                return self._folder(name, lasting=bool(lasting))
            return self._file(name, "" if lasting else _tag(info))

    def place(self, name: str) -> Path:
        """See `Files`."""
        return self._cache.place(checked_name(name))

    def path_of_stem(self, name: str) -> Path:
        """See `Files`."""
        place = self.place(name)
        for copy in place.parent.glob(f"{escape(place.name)}.*"):
            return self.path(f"{name.rpartition('/')[0]}/{copy.name}")
        found = self._ask(lambda store: store.glob(f"{escape(self._of(name))}.*"))
        if not found:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), f"{self._shown}/{name}")
        return self.path(f"{name.rpartition('/')[0]}/{str(found[0]).rpartition('/')[2]}")

    def put(self, name: str, data: bytes, *, durable: bool = True) -> Path:
        """See `Files`."""
        place = self._of(checked_name(name))
        self._listed.pop(place, None)
        self._ask(lambda store: store.pipe_file(place, data))
        if _LASTING.fullmatch(name.rpartition("/")[2]):
            return self._cache.add(name, data)
        return self._cache.add(name, data, hashlib.md5(data, usedforsecurity=False).hexdigest())

    def put_folder(self, name: str, folder: Path) -> None:
        """See `Files`."""
        place = self._of(checked_name(name))
        told, files = manifest_of(folder), sorted(p for p in folder.rglob("*") if p.is_file())

        def keep(store: AbstractFileSystem) -> None:
            if store.exists(f"{place}/{MANIFEST}"):
                if store.cat_file(f"{place}/{MANIFEST}") == told:
                    return
                store.rm_file(f"{place}/{MANIFEST}")
            for path in files:
                store.put_file(str(path), f"{place}/{path.relative_to(folder).as_posix()}")
            store.pipe_file(f"{place}/{MANIFEST}", told)

        self._ask(keep)

    def exists(self, name: str) -> bool:
        """See `Files`."""
        place = self._of(checked_name(name))

        def look(store: AbstractFileSystem) -> bool:
            found = store.info(place)
            return found["type"] == "file" or bool(store.exists(f"{place}/{MANIFEST}"))

        try:
            return self._ask(look)
        except FileNotFoundError:
            return False

    def names(self, folder: str) -> list[str]:
        """See `Files`."""
        place = self._of(checked_name(folder))
        try:
            found = self._ask(lambda store: store.ls(place, detail=True))
        except FileNotFoundError:
            return []
        infos = {str(one["name"]).strip("/"): one for one in found}
        infos.pop(place, None)
        self._listed, self._listed_at = infos, self._clock()
        names = {one.rpartition("/")[2] for one in infos}
        return sorted(name for name in names if not name.startswith("."))

    def move(self, old: str, new: str) -> None:
        """See `Files`: the new name is whole before the old one goes."""
        source, target = self._of(checked_name(old)), self._of(checked_name(new))

        def copy(store: AbstractFileSystem) -> None:
            found = _found(store, source)
            if not found:
                raise FileNotFoundError(f"There is no {old} in {self._shown}.")
            for one in sorted(found, key=lambda path: path.endswith(f"/{MANIFEST}")):  # the list comes last
                store.cp_file(one, f"{target}{one.removeprefix(source)}")

        self._cache.drop(new)
        self._listed = {}
        self._ask(copy)
        self.delete(old)

    def delete(self, name: str) -> None:
        """See `Files`."""
        place = self._of(checked_name(name))

        def remove(store: AbstractFileSystem) -> None:
            found = _found(store, place)
            lists = [one for one in found if one.endswith(f"/{MANIFEST}")]
            for one in lists:  # from here on no folder in it counts as whole
                store.rm_file(one)
            if rest := [one for one in found if one not in lists]:
                store.rm(rest)

        self._listed = {}
        self._ask(remove)
        self._cache.drop(name)

    def size(self, folder: str) -> int:
        """See `Files`."""
        return int(self._ask(lambda store: store.du(self._of(checked_name(folder)))))

    def age(self, name: str) -> float:
        """See `Files`."""
        place = self._of(checked_name(name))
        found = self._info(place)
        if found["type"] == "directory":
            found = self._info(f"{place}/{MANIFEST}")
        return time.time() - _written(found)

    def check(self) -> None:
        """See `Files`."""
        self._rest = None
        place = self._of(PROBE)

        def try_it(store: AbstractFileSystem) -> None:
            store.pipe_file(place, b"1")
            store.rm_file(place)

        try:
            self._ask(try_it)
        except FileNotFoundError as error:
            raise FilesError(f"What was just written to {self._shown} is not there ({error}).") from error

    # --- moving

    def inventory(self, folder: str) -> dict[str, tuple[int, str]]:
        """Bytes and ETag, which is the MD5 of most objects in most stores, of all that lies below a folder."""
        place = self._of(checked_name(folder))
        try:
            found = self._ask(lambda store: store.find(place, detail=True))
        except FileNotFoundError:
            return {}
        return {
            str(one).lstrip("/").removeprefix(f"{self._root}/"): (
                int(info["size"]),
                str(info.get("ETag", "")).strip('"'),
            )
            for one, info in found.items()
        }

    def is_empty(self) -> bool:
        """Whether nothing is kept here."""
        try:
            return not self._ask(
                lambda store: [one for one in store.find(self._root) if PROBE not in str(one)]
            )
        except FileNotFoundError:
            return True

    def upload(self, name: str, content: Path | bytes) -> None:
        """Keep a file as :meth:`put` does, however large, without a copy in the cache."""
        place = self._of(checked_name(name))
        if isinstance(content, bytes):
            self._ask(lambda store: store.pipe_file(place, content))
        else:
            self._ask(lambda store: store.put_file(str(content), place))

    def sha256(self, name: str) -> str:
        """SHA-256 of what is kept under a name, read from the store."""

        def read(store: AbstractFileSystem) -> str:
            digest = hashlib.sha256()
            with store.open(self._of(checked_name(name)), "rb") as file:
                while part := file.read(1 << 22):
                    digest.update(part)
            return digest.hexdigest()

        return self._ask(read)

    # --- fetching

    def _info(self, place: str) -> dict[str, Any]:
        """What the store says of an object, or said just now when it listed the folder."""
        if (told := self._listed.get(place)) is not None and self._clock() - self._listed_at < LISTED_S:
            return told
        found: dict[str, Any] = self._ask(lambda store: store.info(place))
        return found

    def _file(self, name: str, tag: str) -> Path:
        if tag and (known := self._cache.get(name, tag)):
            return known
        place, known_sha = self._of(name), _SHA.fullmatch(name.rpartition("/")[2])
        for _ in range(TRIES):
            data: bytes = self._ask(lambda store: store.cat_file(place))
            if known_sha is None or hashlib.sha256(data).hexdigest() == known_sha[1]:
                return self._cache.add(name, data, tag)
        raise self._damaged(name)

    def _folder(self, name: str, *, lasting: bool) -> Path:
        place = self._of(name)
        told: bytes = self._ask(lambda store: store.cat_file(f"{place}/{MANIFEST}"))
        tag = "" if lasting else hashlib.sha256(told).hexdigest()[:32]
        if known := self._cache.get(name, tag):
            return known
        with self._cache.adding(name, tag) as half:
            half.mkdir()
            files = parse_manifest(told)
            copies = {path: half / checked_name(path) for path in files}
            for copy in copies.values():
                copy.parent.mkdir(parents=True, exist_ok=True)
            if files:  # all at a time
                there = [f"{place}/{path}" for path in files]
                self._ask(lambda store: store.get(there, [str(copy) for copy in copies.values()]))
            for path, (size, sha) in files.items():
                if not _holds(copies[path], size, sha):
                    self._fetch(f"{place}/{path}", copies[path], size, sha)
            (half / MANIFEST).write_bytes(told)
        found = self._cache.get(name, tag)
        if found is None:
            raise self._damaged(name)
        return found

    def _fetch(self, place: str, copy: Path, size: int, sha: str) -> None:
        for _ in range(TRIES):
            self._ask(lambda store: store.get_file(place, str(copy)))
            if _holds(copy, size, sha):
                return
        raise self._damaged(place.removeprefix(f"{self._root}/"))

    def _damaged(self, name: str) -> FilesError:
        return FilesError(
            f"{name} in {self._shown} is damaged: it is not what was written there. Put a copy back."
        )

    # --- asking

    def _of(self, name: str) -> str:
        return f"{self._root}/{name}"

    def _ask(self, work: Callable[[AbstractFileSystem], T]) -> T:
        """What `work` answers.

        Raises:
            FileNotFoundError: the store has no such object.
            FilesError: the store cannot be reached or does not allow it.
        """
        if (rest := self._rest) is not None and self._clock() < rest[0]:
            raise FilesError(str(rest[1]))
        began = self._clock()
        try:
            answer = work(self._store())
        except FilesError:
            raise
        except Exception as error:
            said = trouble(error, self._shown)
            if said is None:
                raise
            if is_away(error):
                now = self._clock()
                self._rest = now + min(max(REST_S, now - began), MOST_REST_S), said
            raise said from error
        self._rest = None
        return answer

    def _store(self) -> AbstractFileSystem:
        """The connection of this process: none comes along through a fork."""
        with self._connecting:
            if self._connected is None or self._connected[0] != os.getpid():
                self._connected = os.getpid(), self._connect()
            return self._connected[1]


TRIES = 2
"""What is damaged on the way is fetched so often."""


def manifest_of(folder: Path, files: Iterable[Path] | None = None) -> bytes:
    """The list of the files of a folder, with sizes and SHA-256; of all of them by default."""
    paths = (path for path in folder.rglob("*") if path.is_file()) if files is None else files
    found = {
        path.relative_to(folder).as_posix(): (path.stat().st_size, _digest(path)) for path in sorted(paths)
    }
    found.pop(MANIFEST, None)
    return json.dumps({"files": found}, sort_keys=True).encode()


def _found(store: AbstractFileSystem, place: str) -> list[str]:
    """Every object under a name."""
    try:
        return [str(one).lstrip("/") for one in store.find(place)]
    except FileNotFoundError:
        return []


def _tag(info: dict[str, Any]) -> str:
    """What changes when an object does."""
    if etag := str(info.get("ETag") or "").strip('"'):
        return re.sub(r"[^\w-]", "", etag)
    return hashlib.sha256(repr((info["size"], _written(info))).encode()).hexdigest()[:32]


def _written(info: dict[str, Any]) -> float:
    """When an object was written, Unix seconds."""
    when = info.get("LastModified") or info.get("mtime") or info.get("created")
    if isinstance(when, datetime):
        return (when if when.tzinfo else when.replace(tzinfo=timezone.utc)).timestamp()
    return float(when or 0.0)


def _holds(path: Path, size: int, sha: str) -> bool:
    return path.is_file() and path.stat().st_size == size and _digest(path) == sha


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while part := file.read(1 << 20):
            digest.update(part)
    return digest.hexdigest()
