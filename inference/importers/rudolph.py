"""RuDOLPH-350M's weights in both editions, and the VQGAN whose codes it reads."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from inference.captioners.encoder_decoder.model import CaptionModel
from inference.captioners.encoder_decoder.settings import SpecialTokens
from inference.checkpoints.pull.pulling import find_pulled
from inference.checkpoints.weight_files.state import (
    ImportFailed,
    State,
    count,
    fill,
    heads_of,
    read_state,
    take,
)
from inference.common.interpreter import PYTHON
from inference.common.types import DecodingOptions
from inference.decoders.base import build_decoder
from inference.decoders.rudolph import BOS, EOS, PAD, UNK, RudolphConfig, RudolphDecoder, layer_mask
from inference.encoders.base import build_encoder
from inference.encoders.preprocessing import Fit
from inference.encoders.vqgan import VqganEncoder
from inference.importers.family import BPE, Built, Parts, Request, Role, captioner
from inference.importers.tensors import unsaid
from inference.presets.preset import preset
from inference.tokenizers.youtokentome import FILE as BPE_FILE
from inference.tokenizers.youtokentome import YouTokenToMe

WHAT = "RuDOLPH model"
_HEAD_WIDTH = 64
_MASKS = ("row_mask", "col_mask", "conv_mask", "last_conv_mask")
# Where the second edition's task tokens stand behind the words.
_LEFT_TASK, _RIGHT_TASK = 3, 5  # <LT_I2T>, <RT_I2T>


def is_rudolph(state: State) -> bool:
    """Whether the names are RuDOLPH's."""
    return {"l_text_pos_embeddings.weight", "image_row_embeddings.weight"} <= state.keys()


def import_rudolph(
    path: Path, *, heads: int | None = None, state: State | None = None
) -> tuple[RudolphDecoder, SpecialTokens]:
    """The decoder and the numbers of its tokens; the edition is told by the shapes.

    The second edition has more codes than a power of two: so many special tokens stand behind its words too.
    ``heads``: of attention, where they are not 64 wide as RuDOLPH-350M's. ``state``: the file's tensors,
    where they were read already.

    Raises FileNotFoundError, or ImportFailed when the file is not one.
    """
    state = dict(read_state(path) if state is None else state)
    vocabulary, width = take(state, "text_embeddings.weight", WHAT, 2).shape
    codes = len(take(state, "image_embeddings.weight", WHAT))
    left = len(take(state, "l_text_pos_embeddings.weight", WHAT)) - 1
    right = len(take(state, "r_text_pos_embeddings.weight", WHAT)) - 1
    side = len(take(state, "image_row_embeddings.weight", WHAT))
    extra = codes - 2 ** (codes.bit_length() - 1)
    words = vocabulary - left - extra
    settings: dict[str, Any] = {
        "kind": "rudolph",
        "vocabulary": vocabulary,
        "codes": codes,
        "left": left,
        "right": right,
        "side": side,
        "width": width,
        "layers": count(state, "transformer.layers."),
        "heads": heads_of(width, max(1, width // _HEAD_WIDTH), heads),
        "right_prompt": (BOS,) if extra else (),
        "left_prompt": (BOS, words + _LEFT_TASK, EOS) if extra else (),
    }
    masks = {name: state.pop(f"transformer.{name}") for name in _MASKS if f"transformer.{name}" in state}
    sizes = RudolphConfig(**{key: value for key, value in settings.items() if key != "kind"})
    settings |= _kernels(sizes, masks)
    decoder = build_decoder(settings)
    if not isinstance(decoder, RudolphDecoder):
        raise TypeError("RuDOLPH's name is taken by another decoder.")
    own = {f"transformer.{name}": decoder.transformer.get_buffer(name) for name in _MASKS}
    for name in ("row_mask", "col_mask"):
        if name in masks and not torch.equal(masks[name].bool(), own[f"transformer.{name}"]):
            raise ImportFailed(
                f"{path} has a {name} of another kind than RuDOLPH-350M: it cannot be imported."
            )
    fill(decoder, {**state, **own}, WHAT)
    start = words + _RIGHT_TASK if extra else BOS
    ends = tuple(range(words, words + extra))
    return decoder.eval(), SpecialTokens(start, EOS, PAD, (PAD, UNK, BOS), ends)


def _kernels(sizes: RudolphConfig, masks: dict[str, Tensor]) -> dict[str, int]:
    """The convolution masks' kernels, where the file keeps the masks; else RuDOLPH-350M's."""
    found = {}
    for name, setting in (("conv_mask", "kernel"), ("last_conv_mask", "last_kernel")):
        if name not in masks:
            continue
        mask = masks[name].bool()
        kernels = range(1, 2 * sizes.side + 1, 2)
        matches = (
            kernel for kernel in kernels if torch.equal(layer_mask("convolution", sizes, kernel), mask)
        )
        kernel = next(matches, None)
        if kernel is None:
            raise ImportFailed(
                f"The file's {name} is no convolution mask of RuDOLPH-350M: it cannot be imported."
            )
        found[setting] = kernel
    return found


def is_vqgan(state: State) -> bool:
    """Whether the names are those of the Gumbel VQGAN."""
    return {"quantize.embed.weight", "encoder.conv_in.weight"} <= state.keys()


def import_vqgan(
    path: Path, *, size: int = 128, fit: Fit = "squash", state: State | None = None
) -> VqganEncoder:
    """The encoder half of vqgan.gumbelf8-sber.model.ckpt; its decoder, which draws pictures, is left out.

    ``size``: pixels of the side of the square that pictures become; ``fit``: how. ``state``: the file's
    tensors, where they were read already.

    Raises FileNotFoundError, or ImportFailed when the file is not one.
    """
    what = "Gumbel VQGAN"
    state = read_state(path) if state is None else state
    channels = len(take(state, "encoder.conv_in.weight", what))
    levels = count(state, "encoder.down.")
    widths = [len(take(state, f"encoder.down.{i}.block.0.conv1.weight", what)) for i in range(levels)]
    codes, depth = take(state, "quantize.embed.weight", what, 2).shape
    encoder = build_encoder(
        {
            "kind": "vqgan",
            "channels": channels,
            "multipliers": [width // channels for width in widths],
            "blocks": count(state, "encoder.down.0.block."),
            "depth": depth,
            "codes": codes,
            "preprocessing": {"size": size, "fit": fit, "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]},
        }
    )
    kept = ("encoder.", "quant_conv.", "quantize.")
    fill(encoder, {key: value for key, value in state.items() if key.startswith(kept)}, what)
    if not isinstance(encoder, VqganEncoder):
        raise TypeError("The VQGAN's name is taken by another encoder.")
    return encoder.eval()


RUDOLPH = Role(WHAT, is_rudolph)
VQGAN = Role("Gumbel VQGAN", is_vqgan, sees=True)


def _build(request: Request, parts: Parts) -> Built:
    path = parts.paths[RUDOLPH]
    decoder, special = import_rudolph(path, heads=request.heads, state=parts.states.pop(RUDOLPH))
    name = "rudolph-v2" if decoder.config.right_prompt else "rudolph"
    for role, entry, pattern in (
        (VQGAN, "vqgan-gumbel-f8", "*.ckpt"),
        (BPE, name, BPE_FILE),
    ):
        if role not in parts.paths:
            folder = find_pulled(request.models_dir, entry)
            found = sorted(folder.glob(pattern)) if folder else []
            if not found:
                raise ImportFailed(
                    f"{path} needs a {role.called} besides: fetch it with "
                    f"'{PYTHON} -m inference pull {entry}', or name its file among the sources."
                )
            parts.paths[role] = found[0]
    side = decoder.config.side
    state = parts.state(VQGAN)
    levels = len({key.split(".")[2] for key in state if key.startswith("encoder.down.")})
    encoder = import_vqgan(
        parts.paths[VQGAN],
        size=side * 2 ** (levels - 1),
        # The second edition is used as RuDOLPH's package uses it, the first as the meme project tuned it.
        fit="middle" if decoder.config.right_prompt else "squash",
        state=state,
    )
    if encoder.widths[0] > decoder.config.codes:
        raise ImportFailed(
            f"{parts.paths[VQGAN]} has {encoder.widths[0]} codes, {path} knows {decoder.config.codes}: "
            "they do not belong together."
        )
    tokenizer = YouTokenToMe(parts.paths[BPE])
    extra = decoder.config.codes - encoder.widths[0] if decoder.config.right_prompt else 0
    silent = unsaid(len(tokenizer), decoder.vocabulary - extra, parts.paths[BPE], path)
    special = replace(special, forbidden=tuple(sorted({*special.forbidden, *silent})))
    usual = preset("rudolph").options.to_dict()
    room = decoder.config.right - len(decoder.config.right_prompt)
    options = DecodingOptions.from_dict({**usual, "max_tokens": min(usual["max_tokens"], room)})
    return CaptionModel(encoder, decoder, special, tokenizer), options, "rudolph"


FAMILY = captioner("rudolph", (RUDOLPH,), _build, (VQGAN,))
