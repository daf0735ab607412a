"""A graph of ONNX and the weights of a safetensors file, run by ONNX Runtime.

The graph's file says what is computed and holds no number that was learnt: its initializers are named as the
tensors of the weights, which are handed over when the session is made. So a file of a hundred kilobytes
serves every checkpoint of an architecture, and the weights are kept in one place.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from inference.common.errors import UserError
from inference.common.memory import given_back_by
from inference.common.processors import available
from inference.graphs.initializers import names

__all__ = ["Array", "Graph", "GraphError", "InPlace"]

Array = npt.NDArray[Any]
_FATAL = 4  # of the runtime's levels: its warnings are about graphs, which people here cannot mend
_DOUBLING = {"arena_extend_strategy": 0}  # each piece of memory is twice as large as the one before
# y = Identity(x) of one number, in ONNX's format: the runtime tidies up behind a run alone.
_LEAST = bytes.fromhex(
    "08083a370a100a017812017922084964656e746974791201675a0f0a0178120a0a08080112040a02080162"
    "0f0a0179120a0a08080112040a02080142040a001011"
)


class GraphError(UserError, RuntimeError):
    """The graph cannot be used with these weights; the message says what to do."""


class Graph:
    """One graph with its weights; several threads may run it at once.

    ``weights``: arrays by the initializers' names, made float32 where they are of half precision; what the
    graph does not name is left alone. ``threads``: of the processor for one run; None: as many as the
    process may use. They sleep while they wait, see :func:`inference.common.processors.patient`, at once or
    after ``awake`` microseconds.

    Raises:
        GraphError: on construction; the file is missing or damaged, or the weights are another network's.
    """

    def __init__(
        self, path: Path, weights: Mapping[str, Array], *, threads: int | None = None, awake: int = 0
    ) -> None:
        options = _options()
        options.intra_op_num_threads = threads or available()
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", str(int(awake > 0)))
        options.add_session_config_entry("session.intra_op.spin_duration_us", str(awake))
        try:
            graph = path.read_bytes()
            values = {name: _as_float32(weights[name]) for name in names(graph) if name in weights}
            self._weights = [ort.OrtValue.ortvalue_from_numpy(value) for value in values.values()]
            options.add_external_initializers(list(values), self._weights)
            self._session = ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        except OSError as error:
            raise GraphError(f"{path} cannot be read ({error.strerror}): get it anew.") from error
        except Exception as error:  # the runtime's own kinds, which it does not name
            raise GraphError(
                f"{path.name} is damaged, or its weights are those of another network: get both anew."
            ) from error
        self.outputs = [output.name for output in self._session.get_outputs()]

    def __call__(self, **inputs: Array) -> tuple[Array, ...]:
        """The graph's outputs, in its order, for its inputs by their names."""
        return tuple(self._session.run(self.outputs, inputs))

    def named(self, **inputs: Array) -> dict[str, Array]:
        """The same by the outputs' names."""
        return dict(zip(self.outputs, self(**inputs), strict=True))

    def in_place(self, arrays: Mapping[str, Array]) -> InPlace:
        """The graph over contiguous ``arrays`` which it reads, as its inputs of these names, and writes into,
        as its outputs behind the first, in the same order."""
        return InPlace(self._session, arrays, self.outputs)


class InPlace:
    """A graph that changes arrays where they lie; not for several threads at once."""

    def __init__(
        self, session: ort.InferenceSession, arrays: Mapping[str, Array], outputs: Sequence[str]
    ) -> None:
        self._session = session
        self._found, *written = outputs
        self._binding = session.io_binding()
        self._binding.bind_output(self._found)
        self._arrays = [ort.OrtValue.ortvalue_from_numpy(array) for array in arrays.values()]
        for name, output, value in zip(arrays, written, self._arrays, strict=True):
            self._binding.bind_ortvalue_input(name, value)
            self._binding.bind_ortvalue_output(output, value)

    def __call__(self, **inputs: Array) -> Array:
        """The graph's first output for its other inputs by their names."""
        held = {name: np.ascontiguousarray(value) for name, value in inputs.items()}
        for name, value in held.items():
            self._binding.bind_cpu_input(name, value)
        self._binding.bind_output(self._found)
        self._session.run_with_iobinding(self._binding)
        found: Array = self._binding.get_outputs()[0].numpy()
        return found


def _options() -> ort.SessionOptions:
    """Of a session that computes in the memory that all of them share."""
    _share_memory()
    options = ort.SessionOptions()
    options.log_severity_level = _FATAL
    options.add_session_config_entry("session.use_env_allocators", "1")
    options.enable_mem_pattern = False  # pictures differ in size: there is no plan to keep
    return options


@cache
def _share_memory() -> None:
    """Makes the memory in which sessions compute, one after the other, apart from the heap.

    On the heap, what is short-lived and as large as a layer came to lie between small things that stay: after
    dozens of pictures a process had 150 MB more, and was no faster.
    """
    memory = ort.OrtMemoryInfo("Cpu", ort.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, ort.OrtMemType.DEFAULT)
    ort.create_and_register_allocator(memory, ort.OrtArenaCfg(_DOUBLING))
    given_back_by(_tidy)


def _tidy() -> None:
    """Frees those pieces of the shared memory in which nothing is."""
    options = _options()
    options.intra_op_num_threads = 1
    run = ort.RunOptions()
    run.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
    session = ort.InferenceSession(_LEAST, options, providers=["CPUExecutionProvider"])
    session.run(None, {"x": np.zeros(1, np.float32)}, run)


def _as_float32(value: Array) -> Array:
    return np.ascontiguousarray(value, dtype=np.float32 if value.dtype == np.float16 else value.dtype)
