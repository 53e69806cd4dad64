from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from adclick_runtime.errors import BundleError
from adclick_runtime.tensors import read_tensors
from model.export.tensor_file import write_tensors

ARRAYS = {
    "bytes": np.arange(7, dtype=np.uint8),
    "halves": np.linspace(0, 1, 6, dtype=np.float16).reshape(2, 3),
    "none": np.zeros((0, 4), np.float32),
    "scalar": np.array(3, np.int64),
    "wide": np.random.default_rng(0).standard_normal((2, 3, 5)),
}


def test_what_the_library_writes_is_read_and_the_other_way_round(tmp_path: Path) -> None:
    save_file(ARRAYS, tmp_path / "theirs.safetensors")
    write_tensors(tmp_path / "ours.safetensors", ARRAYS.items())
    assert [path.name for path in tmp_path.iterdir()].count("ours.safetensors.raw") == 0
    readings = (
        read_tensors(tmp_path / "theirs.safetensors"),
        read_tensors(tmp_path / "ours.safetensors"),
        load_file(tmp_path / "ours.safetensors"),
    )
    for found in readings:
        for name, wanted in ARRAYS.items():
            assert found[name].dtype == wanted.dtype
            assert np.array_equal(found[name], wanted)


@pytest.mark.parametrize("kept", [0, 5, 30, -1])
def test_a_file_that_was_cut_short_is_refused(tmp_path: Path, kept: int) -> None:
    path = tmp_path / "cut.safetensors"
    save_file(ARRAYS, path)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(BundleError, match=r"cut\.safetensors cannot be read as safetensors"):
        read_tensors(path)["wide"].sum()


def test_an_array_outside_of_the_file_is_refused(tmp_path: Path) -> None:
    header = b'{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,8]}}'
    path = tmp_path / "odd.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(8))
    with pytest.raises(BundleError, match="does not lie in 8 bytes"):
        read_tensors(path)
