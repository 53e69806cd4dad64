"""A bundle on disk: one folder or zip with a manifest, and files whose hashes it knows."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
import weakref
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from adclick_runtime.errors import BundleError

KIND = "adclick-detector"
"""What the manifest says the folder is."""

FORMAT = 1
"""Of bundles that are written now. Raise it when a reader of before could not use them, or would misread them."""

MANIFEST, REFERENCES, CONSTANTS = "manifest.json", "references.safetensors", "constants.safetensors"

CHECK_IMAGE, CHECK_ANSWER = "check.png", "check.json"
"""A picture, and what must be found in it."""

AGAIN = "copy the bundle again, or export it again."


class Bundle:
    """An opened bundle, every file of which is what its manifest says.

    Args:
        path: a folder, or a zip of one; a zip is unpacked to a temporary folder that goes when the bundle does.

    Attributes:
        manifest: what it says of itself.

    Raises:
        BundleError: there is none, it is of a newer release, or a file is missing or damaged.
    """

    def __init__(self, path: Path):
        self.name, self._folder = path.name, path
        if path.is_file():
            self._folder = Path(tempfile.mkdtemp(prefix="adclick-bundle-"))
            weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
            _unpack(path, self._folder)
        elif not path.is_dir():
            raise BundleError(
                f"There is no bundle {path}: give the folder or zip that `adclick export detector` wrote."
            )
        self.manifest = self._read()
        self._check_files()

    def file(self, name: str) -> Path:
        """A file of the bundle.

        Raises:
            BundleError: the manifest names no such file.
        """
        if name not in self.manifest["files"]:
            raise BundleError(f"{self.name} has no file {name!r:.60} in its manifest: {AGAIN}")
        return self._folder / name

    def _read(self) -> Mapping[str, Any]:
        try:
            found = json.loads((self._folder / MANIFEST).read_text("utf-8"))
            kind, number, files = found["kind"], found["format"], found["files"]
        except FileNotFoundError:
            raise BundleError(
                f"{self.name} has no {MANIFEST}, so it is no bundle: give what `adclick export detector` wrote."
            ) from None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise BundleError(f"The {MANIFEST} of {self.name} cannot be read: {AGAIN}") from error
        if kind != KIND or not isinstance(number, int) or not isinstance(files, dict):
            raise BundleError(
                f"The {MANIFEST} of {self.name} is of something else than a detector ({kind!r:.40})."
            )
        if number > FORMAT:
            raise BundleError(
                f"{self.name} has the format {number}, and this release of adclick-runtime reads up to {FORMAT}: "
                "update adclick-runtime."
            )
        return dict(found)

    def _check_files(self) -> None:
        for name, wanted in self.manifest["files"].items():
            path = self._folder / name
            if Path(name).name != name or not path.is_file():
                raise BundleError(f"{self.name} lacks the file {name!r:.60}: {AGAIN}")
            found = sha256_of(path)
            if found != wanted:
                raise BundleError(
                    f"{name} in {self.name} is damaged (sha256 {found[:12]} instead of {str(wanted)[:12]}): {AGAIN}"
                )


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while part := file.read(1 << 20):
            digest.update(part)
    return digest.hexdigest()


def _unpack(path: Path, folder: Path) -> None:
    """The files of a zip whose names are plain ones; what lies in a folder of the zip counts as lying in it."""
    try:
        with zipfile.ZipFile(path) as archive:
            for member in archive.infolist():
                name = Path(member.filename).name
                if name and not member.is_dir():
                    with archive.open(member) as source, (folder / name).open("wb") as target:
                        while part := source.read(1 << 20):
                            target.write(part)
    except (OSError, zipfile.BadZipFile) as error:
        raise BundleError(f"{path.name} cannot be unpacked ({error}): {AGAIN}") from error
