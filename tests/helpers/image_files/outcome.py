"""What becomes of the files here, beside the pixels that a Chromium showed once."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from adclick_backend.errors import ImageError
from adclick_backend.images.decode import decode_image
from tests.helpers.image_files.picture import ImageFile

Shown = dict[str, NDArray[np.uint8] | None]
RECORD = Path(__file__).parents[2] / "fixtures" / "chromium_pixels.npz"


def recorded() -> Shown:
    """Kind -> RGB (H, W, 3) uint8 that Chromium showed on white, None where it showed nothing."""
    with np.load(RECORD) as kept:
        ends = np.cumsum(kept["shapes"].prod(axis=1))
        parts = np.split(kept["pixels"], ends[:-1])
        return {
            str(kind): part.reshape(shape) if part.size else None
            for kind, shape, part in zip(kept["kinds"], kept["shapes"], parts, strict=True)
        }


def record(shown: Shown) -> None:
    """Keep what Chromium showed."""
    nothing = np.zeros((0, 0, 3), np.uint8)
    kept = [nothing if pixels is None else pixels for pixels in shown.values()]
    np.savez_compressed(
        RECORD,
        kinds=np.array(list(shown)),
        shapes=np.array([pixels.shape for pixels in kept]),
        pixels=np.concatenate([pixels.reshape(-1) for pixels in kept]),
    )


def distance(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> int:
    """Grey levels between the two pixels that differ most; 256 for images of different sizes."""
    if one.shape != other.shape:
        return 256
    return int(np.abs(one.astype(int) - other.astype(int)).max())


def here(file: ImageFile) -> NDArray[np.uint8] | str:
    """The pixels of a file, or the words in which it is refused."""
    try:
        return decode_image(file.data, max_megapixels=1, white=file.white)
    except ImageError as error:
        return str(error)


def outcome(file: ImageFile, shown: NDArray[np.uint8] | None) -> tuple[str, str, str]:
    """A row of the table: what Chromium does, what becomes of the file here, and which of five cases that is."""
    chromium = "shows nothing" if shown is None else "shows it"
    found = here(file)
    if isinstance(found, str):
        if file.refused and file.refused in found:
            return chromium, f"refused: {found}", "refused"
        return chromium, f"WRONG, refused: {found}", "wrong"
    expected = shown if file.pixels is None else file.pixels
    if expected is None:
        return chromium, "WRONG: decoded, and nobody says to what", "wrong"
    apart = distance(found, expected)
    if apart > file.tolerance:
        return chromium, f"WRONG by {apart} grey levels", "wrong"
    if shown is None:
        return chromium, "decoded", "decoded, not shown by Chromium"
    apart = distance(found, shown)
    if file.differs:
        return chromium, f"differs ({apart} grey levels): {file.differs}", "different, with a reason"
    same = "the same pixels" if apart == 0 else f"the same pixels within {apart} grey levels"
    return chromium, same, "equal"


def table(files: tuple[ImageFile, ...], shown: Shown) -> str:
    """All rows in Markdown, and how many there are of each case."""
    rows, cases = ["| file | Chromium | here |", "|---|---|---|"], Counter[str]()
    for file in files:
        chromium, words, case = outcome(file, shown[file.kind])
        rows.append(f"| {file.kind} | {chromium} | {words} |")
        cases[case] += 1
    return "\n".join([*rows, "", *(f"{number} {case}" for case, number in cases.most_common())])
