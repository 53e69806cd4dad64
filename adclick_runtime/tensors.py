"""Reads arrays from a safetensors file: 8 bytes with the header's length, the header in JSON, the numbers raw.

The format is that of https://github.com/huggingface/safetensors#format; nothing in such a file can run code.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adclick_runtime.errors import BundleError

DTYPES = {"F64": np.float64, "F32": np.float32, "F16": np.float16, "I64": np.int64, "U8": np.uint8}
"""What the format calls a number -> what numpy calls it; there are more, which no bundle holds."""

LONGEST_HEADER = 10_000_000
"""Bytes; a longer one is no header."""


def read_tensors(path: Path) -> dict[str, NDArray[Any]]:
    """The arrays of a file by name, read-only; they stay in the file until somebody looks at them.

    Raises:
        BundleError: it is no such file, or one that was cut short.
    """
    try:
        data = np.memmap(path, np.uint8, "r")
        start = 8 + int.from_bytes(data[:8].tobytes(), "little")
        if not 8 < start <= min(len(data), LONGEST_HEADER):
            raise ValueError("its header has no length")
        header = json.loads(data[8:start].tobytes())
        return {name: _array(data[start:], said) for name, said in header.items() if name != "__metadata__"}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise BundleError(
            f"{path.name} cannot be read as safetensors ({error}): export the bundle again."
        ) from error


def _array(data: NDArray[np.uint8], said: dict[str, Any]) -> NDArray[Any]:
    dtype, shape = np.dtype(DTYPES[said["dtype"]]), tuple(int(side) for side in said["shape"])
    first, last = (int(offset) for offset in said["data_offsets"])
    if not 0 <= first <= last <= len(data) or last - first != math.prod(shape) * dtype.itemsize:
        raise ValueError(f"an array of {said['dtype']} {shape} does not lie in {last - first} bytes")
    return data[first:last].view(dtype).reshape(shape)
