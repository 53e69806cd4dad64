"""Networks as ONNX files, run by ONNX Runtime or by OpenVINO. Neither is imported before a network is opened."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from adclick_runtime.errors import BundleError

Arrays = Mapping[str, NDArray[Any]]

Network = Callable[[Arrays], dict[str, NDArray[np.float32]]]
"""Inputs by name -> outputs by name."""

Engine = Literal["onnxruntime", "openvino"]

ENGINES: tuple[Engine, ...] = ("onnxruntime", "openvino")


def open_network(path: Path, engine: str = "onnxruntime", threads: int | None = None) -> Network:
    """A network that is ready to run.

    Args:
        path: of the ONNX file.
        engine: one of `ENGINES`.
        threads: that compute; None: as many as there are processors.

    Raises:
        BundleError: there is no such engine, it is not installed, or cannot run this file.
    """
    if engine not in ENGINES:
        raise BundleError(f"There is no engine {engine!r:.40}; there are: {', '.join(ENGINES)}.")
    try:
        library = import_module(engine)
    except ImportError as error:
        raise BundleError(f"The engine {engine} is not installed: pip install {engine}.") from error
    made = _openvino if engine == "openvino" else _onnxruntime
    try:
        return made(library, path, threads)
    except Exception as error:  # each library has classes of its own
        raise BundleError(f"{path.name} cannot be opened by {engine}: {error}") from error


def _onnxruntime(library: Any, path: Path, threads: int | None) -> Network:
    options = library.SessionOptions()
    options.intra_op_num_threads = threads or 0
    options.log_severity_level = 3
    options.enable_cpu_mem_arena = False  # which keeps memory that no later image needs, and saves no time
    # Threads that wait by spinning steal the processor from whatever else runs on the line.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = library.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]

    def run(inputs: Arrays) -> dict[str, NDArray[np.float32]]:
        return dict(zip(names, session.run(names, dict(inputs)), strict=True))

    return run


def _openvino(library: Any, path: Path, threads: int | None) -> Network:
    core = library.Core()
    # What it computes in would else depend on the processor, and with it what is found.
    settings: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
    if threads:
        settings["INFERENCE_NUM_THREADS"] = threads
    compiled = core.compile_model(core.read_model(str(path)), "CPU", settings)
    names = [output.get_names() for output in compiled.outputs]  # an output may have several

    def run(inputs: Arrays) -> dict[str, NDArray[np.float32]]:
        found = compiled(dict(inputs))
        return {name: np.asarray(found[i]) for i, known in enumerate(names) for name in known}

    return run
