"""The graphs of one network are traced once in a process, however many checkpoints of it there are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property

import onnxscript
import pytest
from torch import Tensor, nn

from inference.captioners.encoder_decoder.graphs import writing
from inference.graphs.export import export

_GRAPHS: dict[tuple[object, ...], bytes] = {}


@contextmanager
def graphs_kept() -> Iterator[None]:
    """Within it a checkpoint's graphs are those of another checkpoint, where the networks differ in nothing
    but their weights: graphs hold none. And the exporter, which asks for every graph which operators there
    are, and gets the sources of all 500 read anew, gets them as they were read first.
    """
    operator = onnxscript.TracedOnnxFunction
    read = vars(operator)["function_ir"]
    kept = cached_property(read.fget)
    kept.__set_name__(operator, "function_ir")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(operator, "function_ir", kept)
        patch.setattr(writing, "export", _exported)
        yield


def _exported(
    module: nn.Module,
    inputs: Mapping[str, Tensor | list[Tensor]],
    free: Mapping[str, Sequence[int]],
    outputs: Sequence[str],
) -> bytes:
    examples = {
        name: [(one.shape, one.dtype) for one in (example if isinstance(example, list) else [example])]
        for name, example in inputs.items()
    }
    key = (*_network(module), repr(examples), repr(free), tuple(outputs))
    if key not in _GRAPHS:
        _GRAPHS[key] = export(module, inputs, free, outputs)
    return _GRAPHS[key]


def _network(module: nn.Module) -> tuple[object, ...]:
    """All that a module is, but the numbers it has learnt: what its parts are, and what is in its state."""
    # Of an LSTM the weights once more.
    usual = {*vars(nn.Module()), "_flat_weights", "_flat_weight_refs"}
    parts = (
        (name, type(part), [(key, repr(value)) for key, value in vars(part).items() if key not in usual])
        for name, part in module.named_modules()
    )
    state = module.state_dict().items()
    return repr([*parts]), repr([(name, tensor.shape, tensor.dtype) for name, tensor in state])
