"""PyTorch modules to graphs without weights, as :mod:`inference.graphs.session` runs them."""

from __future__ import annotations

import io
import logging
import math
import warnings
from collections.abc import Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

__all__ = ["export"]

_OPSET = 20
_FOLDED = 64  # numbers that a constant of the graph itself may have
_LOCATION = "weights"  # names no file: whoever opens the session hands the weights over


def export(
    module: nn.Module, inputs: Mapping[str, Tensor], free: Mapping[str, Sequence[int]], outputs: Sequence[str]
) -> bytes:
    """The graph of a module's ``forward``, in evaluation mode.

    ``inputs``: examples by the names of ``forward``'s parameters; ``free``: for each the dimensions whose
    sizes may be others; ``outputs``: names of what it returns. Initializers are named as in ``state_dict()``;
    nothing is folded into others, so that each holds one tensor of any checkpoint.

    Raises:
        RuntimeError: the module computes from numbers that are in no tensor of its state.
    """
    import onnx  # noqa: PLC0415 - only exporting needs it

    module = module.eval()
    sizes = {name: dict.fromkeys(free.get(name, ()), torch.export.Dim.DYNAMIC) for name in inputs}
    with _quietly(), torch.inference_mode(False), torch.no_grad():
        program = torch.onnx.export(
            module,
            kwargs=dict(inputs),
            dynamic_shapes=sizes,
            input_names=list(inputs),
            output_names=list(outputs),
            opset_version=_OPSET,
            dynamo=True,
            custom_translation_table=_operators(),
            optimize=False,
            verbose=False,
        )
    if program is None:
        raise RuntimeError("torch.onnx.export gave no program.")
    _simplify(program.model)
    model = program.model_proto
    state = module.state_dict()
    for tensor in model.graph.initializer:
        if tensor.name in state:
            _empty(tensor, onnx.TensorProto.EXTERNAL)
        elif math.prod(tensor.dims) > _FOLDED:
            raise RuntimeError(f"{tensor.name} is in no tensor of the module's state: make it a buffer.")
    _strip(model)
    return bytes(model.SerializeToString(deterministic=True))


def _operators() -> dict[Any, Any]:
    """Operators in ONNX's own words, where the exporter would spell them out: ONNX Runtime then keeps the
    picture in the layout that its convolutions want.
    """
    from onnxscript import opset20 as onnx  # noqa: PLC0415 - only exporting needs it

    def average(values: Any, size: Sequence[int]) -> Any:
        if any(side != 1 for side in size):
            raise NotImplementedError("Only pooling to one value a channel is exported.")
        return onnx.GlobalAveragePool(values)

    return {torch.ops.aten.adaptive_avg_pool2d.default: average}


def _simplify(model: Any) -> None:
    """Takes away what the exporter writes around numbers that it knows: shapes, casts, expansions.

    While they stand between a weight and its operator, ONNX Runtime sees no weight and joins nothing:
    convolutions with the normalisations behind them, which took the shipped encoder 2.5 times as long. What
    was learnt stays apart (so the exporter's own ``optimize`` is no choice): only small numbers are folded.
    """
    from onnx_ir.passes import common  # noqa: PLC0415 - only exporting needs it
    from onnxscript.optimizer import fold_constants_ir  # noqa: PLC0415

    def of_weights(node: Any) -> bool | None:
        """False: left as it is. The folding would turn matrices over, whatever their size."""
        learnt = any(value is not None and value.is_initializer() for value in node.inputs)
        return False if learnt else None

    fold_constants_ir(model, input_size_limit=_FOLDED, output_size_limit=_FOLDED, should_fold=of_weights)
    _join_padding(model.graph)
    for made in (
        common.RemoveUnusedNodesPass(),
        common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0),
        common.CommonSubexpressionEliminationPass(),
        common.RemoveUnusedNodesPass(),
    ):
        made(model)


def _join_padding(graph: Any) -> None:
    """Zeros put around what comes from a ReLU, to find the largest of each window there: the pooling leaves
    them out itself. ONNX Runtime does the same for convolutions alone.
    """
    import onnx_ir  # noqa: PLC0415 - only exporting needs it

    for pool in [node for node in graph if node.op_type == "MaxPool"]:
        pad = pool.inputs[0].producer()
        if pad is None or pad.op_type != "Pad":
            continue
        before = pad.inputs[0].producer()
        if before is not None and before.op_type == "Relu":
            around = pad.inputs[1].const_value.numpy().reshape(2, -1)[:, 2:]  # begins and ends: rows, columns
            pads = (around + np.reshape(pool.attributes["pads"].value, (2, -1))).flatten().tolist()
            pool.attributes["pads"] = onnx_ir.AttrInt64s("pads", pads)
            pool.replace_input_with(0, pad.inputs[0])


def _empty(tensor: Any, external: int) -> None:
    """Leaves the initializer's name, kind and shape."""
    length = math.prod(tensor.dims) * 4  # bytes; floats are of 32 bits in all graphs
    for values in ("raw_data", "float_data"):
        tensor.ClearField(values)
    tensor.data_location = external
    for key, value in (("location", _LOCATION), ("offset", "0"), ("length", str(length))):
        entry = tensor.external_data.add()
        entry.key, entry.value = key, value


def _strip(model: Any) -> None:
    """Without what tells where the graph came from: paths of this machine, and most of its size."""
    del model.graph.value_info[:]
    graph = model.graph
    for part in (model, graph, *graph.node, *graph.input, *graph.output, *graph.initializer):
        del part.metadata_props[:]
        part.doc_string = ""
    model.producer_version = ""  # the same graph by every version of the exporter


@contextmanager
def _quietly() -> Any:
    """The exporter tells of its stages, and of what it will do in its next version."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
