"""An object store in memory, in the place of a real one."""

from __future__ import annotations

from collections.abc import Callable

from fsspec.implementations.memory import MemoryFileSystem


class Bucket(MemoryFileSystem):  # type: ignore[misc]
    """A store that counts what it is asked, and can be away."""

    cachable = False

    def __init__(self) -> None:
        super().__init__()
        self.store, self.pseudo_dirs = {}, [""]  # of its own
        self.asked, self.problem = 0, None
        self.cut: Callable[[bytes], bytes] = lambda data: data

    def _open(self, *args: object, **more: object) -> object:
        self._count()
        return super()._open(*args, **more)

    def info(self, *args: object, **more: object) -> object:
        self._count()
        return super().info(*args, **more)

    def cat_file(self, *args: object, **more: object) -> bytes:
        return self.cut(super().cat_file(*args, **more))

    def rm(self, *args: object, **more: object) -> None:
        super().rm(*args, **more)
        self._forget_folders()

    def rm_file(self, path: str) -> None:
        super().rm_file(path)
        self._forget_folders()

    def _forget_folders(self) -> None:
        """A store has no folders, so that none is left empty."""
        self.pseudo_dirs[:] = [""]

    def _count(self) -> None:
        self.asked += 1
        if self.problem is not None:
            raise self.problem
