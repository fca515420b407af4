"""The libraries that run an ONNX graph on the CPU, all of one shape."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Literal, Protocol, TypeAlias, cast, get_args

import numpy as np
from numpy.typing import NDArray

from evalkit.errors import ModelError

Runtime: TypeAlias = Literal["onnxruntime", "openvino"]

RUNTIMES: tuple[Runtime, ...] = get_args(Runtime)

Arrays: TypeAlias = Mapping[str, NDArray[np.int64]]
"""Name of an input -> shape (batch, tokens)."""


class Session(Protocol):
    """A loaded graph; several threads may run it at the same time."""

    @property
    def inputs(self) -> Sequence[str]:
        """Names of what the graph reads."""
        ...

    def run(self, arrays: Arrays) -> NDArray[np.float32]:
        """The graph's first output, computed in float32 on one core."""
        ...


def runtime_version(runtime: Runtime) -> str:
    """The version that is installed.

    Raises:
        ModelError: None is.
    """
    try:
        return metadata.version(runtime)
    except metadata.PackageNotFoundError:
        raise _not_installed(runtime) from None


def open_session(runtime: Runtime, path: Path, threads: int) -> Session:
    """Load a graph.

    Args:
        runtime: What runs it.
        path: ``.onnx``; OpenVINO also reads its own ``.xml`` with the ``.bin`` beside it.
        threads: As many threads will run it at once, each on one core.

    Raises:
        ModelError: The runtime is not installed, or cannot load the graph.
    """
    try:
        return _OnnxRuntime(path) if runtime == "onnxruntime" else _OpenVino(path, threads)
    except ImportError as error:
        raise _not_installed(runtime) from error
    # The libraries' errors share no public base class.
    except Exception as error:
        raise ModelError(f"{path} cannot be loaded by {runtime}: {error}") from error


class _OnnxRuntime:
    def __init__(self, path: Path) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self.inputs = [node.name for node in self._session.get_inputs()]

    def run(self, arrays: Arrays) -> NDArray[np.float32]:
        output: NDArray[np.float32] = self._session.run(None, {name: arrays[name] for name in self.inputs})[0]
        return output


class _OpenVino:
    def __init__(self, path: Path, threads: int) -> None:
        with _without_telemetry():
            import openvino

        core = openvino.Core()
        settings = {
            # Where the processor has bfloat16, it would be taken.
            "INFERENCE_PRECISION_HINT": "f32",
            # Activations would be rounded to int8 in groups wherever weights are.
            "DYNAMIC_QUANTIZATION_GROUP_SIZE": 0,
            # One core per batch, and no core for good: the other model of a run wants it too.
            "NUM_STREAMS": threads,
            "INFERENCE_NUM_THREADS": threads,
            "ENABLE_CPU_PINNING": False,
        }
        compiled = core.compile_model(core.read_model(str(path)), "CPU", settings)
        self.inputs = [node.get_any_name() for node in compiled.inputs]
        self._idle: SimpleQueue[Any] = SimpleQueue()
        for _ in range(threads):
            self._idle.put(compiled.create_infer_request())

    def run(self, arrays: Arrays) -> NDArray[np.float32]:
        request = self._idle.get()
        try:
            output: NDArray[np.float32] = request.infer({name: arrays[name] for name in self.inputs})[0]
            return output
        finally:
            self._idle.put(request)


@contextmanager
def _without_telemetry() -> Iterator[None]:
    """Keep OpenVINO from reporting its import.

    Unless it believes to be in CI, it sends an event to its maker and leaves an identifier in the home folder; where
    ``openvino_telemetry`` cannot be imported it does neither.
    """
    absent = "openvino_telemetry" not in sys.modules
    if absent:
        sys.modules["openvino_telemetry"] = cast(Any, None)
    try:
        yield
    finally:
        if absent:
            del sys.modules["openvino_telemetry"]


def _not_installed(runtime: Runtime) -> ModelError:
    wanted = "evalkit-rerank[openvino]" if runtime == "openvino" else runtime
    return ModelError(f"runtime is {runtime}, which is not installed; run: pip install '{wanted}'")
