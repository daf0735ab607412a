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

from inference.graphs.initializers import hand_over

__all__ = ["export"]

_OPSET = 20
_FOLDED = 64  # numbers that a constant of the graph itself may have


def export(
    module: nn.Module,
    inputs: Mapping[str, Tensor | list[Tensor]],
    free: Mapping[str, Sequence[int]],
    outputs: Sequence[str],
) -> bytes:
    """The graph of a module's ``forward``, in evaluation mode.

    ``inputs``: examples by the names of ``forward``'s parameters (of a list ``NAME_0``, ``NAME_1`` ... are
    the graph's inputs); ``free``: for each the dimensions whose sizes may be others; ``outputs``: names of
    what it returns. Initializers are named as in ``state_dict()``; nothing is folded into others, so that
    each holds one tensor of any checkpoint.

    Raises:
        RuntimeError: the module computes from numbers that are in no tensor of its state.
    """

    module = module.eval()
    sizes: dict[str, Any] = {}
    names: list[str] = []
    for name, example in inputs.items():
        own = dict.fromkeys(free.get(name, ()), torch.export.Dim.DYNAMIC)
        sizes[name] = [own] * len(example) if isinstance(example, list) else own
        names += [f"{name}_{i}" for i in range(len(example))] if isinstance(example, list) else [name]
    with _quietly(), torch.inference_mode(False), torch.no_grad():
        program = torch.onnx.export(
            module,
            kwargs=dict(inputs),
            dynamic_shapes=sizes,
            input_names=names,
            output_names=list(outputs),
            opset_version=_OPSET,
            dynamo=True,
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
            hand_over(tensor, math.prod(tensor.dims) * 4)  # floats are of 32 bits in all graphs
        elif math.prod(tensor.dims) > _FOLDED:
            raise RuntimeError(f"{tensor.name} is in no tensor of the module's state: make it a buffer.")
    _strip(model)
    return bytes(model.SerializeToString(deterministic=True))


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
    _name_pooling(model.graph)
    _join_padding(model.graph)
    for made in (
        common.RemoveUnusedNodesPass(),
        common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0),
        common.CommonSubexpressionEliminationPass(),
        common.RemoveUnusedNodesPass(),
    ):
        made(model)


def _name_pooling(graph: Any) -> None:
    """The mean over a picture's places, by its own operator: ONNX Runtime then keeps the values around it in
    the layout that its convolutions want.
    """
    for mean in [node for node in graph if node.op_type == "ReduceMean" and len(node.inputs) == 2]:
        axes, shape = mean.inputs[1].const_value, mean.inputs[0].shape
        keeps = mean.attributes["keepdims"].value if "keepdims" in mean.attributes else 1
        if not keeps or axes is None or shape is None or len(shape) != 4:
            continue
        if sorted(int(axis) % 4 for axis in axes.numpy()) == [2, 3]:
            mean.op_type = "GlobalAveragePool"
            mean.attributes.clear()
            mean.resize_inputs(1)


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
        around = pad.inputs[1].const_value
        if before is None or before.op_type != "Relu" or around is None:
            continue
        # Begins and ends of rows and columns; a window that lies in them alone would have no largest.
        pads = around.numpy().reshape(2, -1)[:, 2:] + np.reshape(pool.attributes["pads"].value, (2, -1))
        if (pads < pool.attributes["kernel_shape"].value).all():
            pool.attributes["pads"] = onnx_ir.AttrInt64s("pads", pads.flatten().tolist())
            pool.replace_input_with(0, pad.inputs[0])


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
