"""The products that a decoder makes for every token, with weights of 8 bits.

Each row of a matrix (o, i) is cut into blocks; a block is kept as whole numbers -127..127 and one factor.
ONNX Runtime rounds what is multiplied with it likewise, block by block and row by row: nothing passes between
the pictures of a batch.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from inference.captioners.encoder_decoder.graphs.parts import BLOCKS, HEAD, SCALES, STEP, SUFFIX, ZERO
from inference.checkpoints import folder as checkpoint
from inference.graphs.initializers import hand_over
from inference.graphs.session import Array

_BLOCK = 128  # numbers: of 32 to 256 the fastest
_LEAST = 64  # numbers a row: smaller products gain nothing
_RUNTIME = "com.microsoft"
_BY_WHOLE_NUMBERS = 4  # the operator's accuracy_level: products of 8 bits, summed in 32


def round_graphs(graphs: Path, weights: Mapping[str, Array]) -> dict[str, Array]:
    """Rewrites the step and the head among the graphs of a folder; the weights that they all need then."""
    rounded = write_rounded(graphs, weights)
    replaced = {name.removesuffix(BLOCKS) for name in rounded if name.endswith(BLOCKS)}
    # What the checkpoint holds in 8 bits is given widened: its factors would widen it again.
    others = {
        name: value
        for name, value in weights.items()
        if name not in replaced and not name.endswith(checkpoint.SCALES)
    }
    return {**others, **rounded}


def write_rounded(graphs: Path, weights: Mapping[str, Array], prefix: str = "") -> dict[str, Array]:
    """Writes the step and the head of a folder under names that begin with ``prefix``; the matrices in 8 bits
    that they need besides ``weights``."""
    import onnx  # noqa: PLC0415 - comes with the extra that exports

    rounded: dict[str, Array] = {}
    for name in (STEP, HEAD):
        model = onnx.load(graphs / f"{name}{SUFFIX}", load_external_data=False)
        for node in model.graph.node:
            rounded |= _round(node, weights, model.graph)
        model.opset_import.append(onnx.helper.make_opsetid(_RUNTIME, 1))
        (graphs / f"{prefix}{name}{SUFFIX}").write_bytes(model.SerializeToString(deterministic=True))
    return rounded


def blocks(matrix: Array) -> tuple[Array, Array]:
    """A matrix (o, i) as uint8 (o, blocks, a block's numbers), where ZERO is 0, and factors (o, blocks)."""
    rows, width = matrix.shape
    whole = np.ascontiguousarray(matrix, np.float32)
    padded = np.pad(whole, ((0, 0), (0, -width % _BLOCK))).reshape(rows, -1, _BLOCK)
    factors = np.maximum(np.abs(padded).max(2) / 127, 1e-12)
    return (np.rint(padded / factors[..., None]) + ZERO).astype(np.uint8), factors


def _round(node: Any, weights: Mapping[str, Array], graph: Any) -> dict[str, Array]:
    """Turns a product with a matrix of the weights into one with its blocks, which it yields by name."""
    import onnx  # noqa: PLC0415

    if node.op_type not in {"MatMul", "Gemm"} or node.input[1] not in weights:
        return {}
    name = node.input[1]
    matrix = weights[name] if node.op_type == "Gemm" else weights[name].T  # every Gemm of a torch.nn.Linear
    if min(matrix.shape) < _LEAST:
        return {}
    numbers, factors = blocks(matrix)
    made = {name + BLOCKS: numbers, name + SCALES: factors}
    inputs = [node.input[0], *made]
    if node.op_type == "Gemm" and len(node.input) == 3:
        inputs += ["", "", node.input[2]]  # no zero points, no order of groups, the bias
    product = onnx.helper.make_node(
        "MatMulNBits",
        inputs,
        list(node.output),
        domain=_RUNTIME,
        K=matrix.shape[1],
        N=matrix.shape[0],
        bits=8,
        block_size=_BLOCK,
        accuracy_level=_BY_WHOLE_NUMBERS,
    )
    node.CopyFrom(product)
    kept = [tensor for tensor in graph.initializer if tensor.name != name]
    del graph.initializer[:]
    graph.initializer.extend(kept)
    graph.initializer.extend(_named(tensor, value) for tensor, value in made.items())
    return made


def _named(name: str, value: Array) -> Any:
    """An initializer whose numbers are handed over with the others."""
    import onnx  # noqa: PLC0415

    tensor = onnx.TensorProto(
        name=name, data_type=onnx.helper.np_dtype_to_tensor_dtype(value.dtype), dims=value.shape
    )
    hand_over(tensor, value.nbytes)
    return tensor
