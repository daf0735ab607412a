"""The graphs of an encoder-decoder, written to a folder with PyTorch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from inference.captioners.encoder_decoder.graphs import modules, parts
from inference.captioners.encoder_decoder.model import CaptionModel
from inference.checkpoints.format import CheckpointError
from inference.decoders.gpt_prefix import GptPrefixDecoder
from inference.decoders.recurrent import RecurrentDecoder
from inference.graphs.export import export

_ROWS, _PLACES, _ROOM = 2, 3, 5  # of the examples: not 0 or 1, which the exporter takes for fixed


def write(model: CaptionModel, folder: Path) -> None:
    """``NAME.onnx`` for each part, see :mod:`.parts`.

    Raises CheckpointError for a decoder that has no graphs.
    """
    kind = model.decoder.settings["kind"]
    if kind not in _DECODERS:
        raise CheckpointError(
            f"A decoder of the kind {kind} runs on PyTorch alone: graphs are written of "
            f"{' and '.join(_DECODERS)}."
        )
    model = model.eval()
    size = model.encoder.preprocessing.size
    pixels = torch.zeros(_ROWS, 3, size, size)
    sees = modules.Sees(model)
    with torch.no_grad():
        memory = sees(pixels)
    outputs = [f"memory_{i}" for i in range(len(memory))] if isinstance(memory, tuple) else ["memory"]
    graphs = {parts.ENCODER: export(sees, {"pixels": pixels}, {"pixels": [0]}, outputs)}
    graphs |= _DECODERS[kind](model.decoder, memory)
    for name, graph in graphs.items():
        (folder / f"{name}{parts.SUFFIX}").write_bytes(graph)


def _recurrent(decoder: RecurrentDecoder, memory: Tensor) -> dict[str, bytes]:
    config, rows = decoder.config, {"memory": [0]}
    start = modules.RecurrentStart(decoder)
    with torch.no_grad():
        state = dict(zip(start.names(memory), start(memory), strict=True))
    state.pop("pending", None)
    x = torch.zeros(len(memory), config.input or config.embedding)
    changed = [parts.NEW + name for name in ("hidden", "cell") if name in state]
    free = {name: [0] for name in ("x", *state)}
    graphs = {
        parts.START: export(start, {"memory": memory}, rows, start.names(memory)),
        parts.STEP: export(modules.RecurrentStep(decoder), {"x": x, **state}, free, changed),
        parts.HEAD: export(
            modules.RecurrentHead(decoder), {"top": state["hidden"][:, -1]}, {"top": [0]}, ["logits"]
        ),
    }
    if not isinstance(decoder.lift, nn.Identity):
        words = torch.zeros(len(memory), config.embedding)
        graphs[parts.LIFT] = export(modules.RecurrentLift(decoder), {"x": words}, {"x": [0]}, ["lifted"])
    return graphs


def _gpt_prefix(decoder: GptPrefixDecoder, memory: Tensor | tuple[Tensor, ...]) -> dict[str, bytes]:
    config = decoder.config
    x = torch.zeros(_ROWS, _PLACES, config.width)
    kept = torch.zeros(_ROWS, config.heads, _ROOM, config.width // config.heads)
    count = 2 * config.layers
    step: dict[str, Tensor | list[Tensor]] = {
        "x": x,
        "last": torch.zeros(_ROWS, dtype=torch.int32),
        "total": torch.tensor(_PLACES, dtype=torch.int32),
        "kept": [kept.clone() for _ in range(count)],
    }
    seen = {"memory": list(memory) if isinstance(memory, tuple) else memory}
    outputs = [parts.PLACES, *(f"now_{i}" for i in range(count))]
    return {
        parts.START: export(modules.Prefix(decoder), seen, {"memory": [0]}, ["prefix"]),
        parts.STEP: export(
            modules.GptStep(decoder), step, {"x": [0, 1], "last": [0], "kept": [0, 2]}, outputs
        ),
        parts.HEAD: export(modules.GptHead(decoder), {"hidden": x[:, 0]}, {"hidden": [0]}, ["logits"]),
    }


_DECODERS: Mapping[str, Callable[[Any, Any], dict[str, bytes]]] = {
    "recurrent": _recurrent,
    "gpt_prefix": _gpt_prefix,
}
