"""Writes a safetensors file array by array: the references of a product need not fit into memory."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adclick_runtime.tensors import DTYPES

_ALIGNED = 8  # bytes


def write_tensors(path: Path, arrays: Iterable[tuple[str, NDArray[Any]]]) -> None:
    """Write arrays of the number formats in :data:`adclick_runtime.tensors.DTYPES`, each with a name of its own.

    Raises:
        OSError: the disk is full, or cannot be written; what was written is left to the caller.
    """
    names = {np.dtype(dtype): name for name, dtype in DTYPES.items()}
    raw, header, end = path.with_name(f"{path.name}.raw"), dict[str, Any](), 0
    with raw.open("wb") as file:
        for name, array in arrays:
            data = np.ascontiguousarray(array).tobytes()
            said = {
                "dtype": names[array.dtype],
                "shape": list(array.shape),
                "data_offsets": [end, end + len(data)],
            }
            # Rows of the next array begin where numbers may begin.
            padding = -len(data) % _ALIGNED
            file.write(data)
            if padding:
                header[f"{name}/padding"] = {
                    "dtype": "U8",
                    "shape": [padding],
                    "data_offsets": [end + len(data), end + len(data) + padding],
                }
                file.write(bytes(padding))
            header[name], end = said, end + len(data) + padding
    written = json.dumps(header, separators=(",", ":")).encode()
    written += b" " * (-(len(written) + 8) % _ALIGNED)
    with path.open("wb") as target, raw.open("rb") as source:
        target.write(len(written).to_bytes(8, "little") + written)
        shutil.copyfileobj(source, target, 1 << 20)
    raw.unlink()
