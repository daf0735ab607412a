"""ClipCap's .pt files (Mokady et al. 2021): a language model and a mapper, and no word about sizes."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import torch

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
from inference.decoders.gpt_prefix import GptPrefixDecoder
from inference.encoders.base import Encoder
from inference.encoders.ruclip_files import ImportedRuClip, import_ruclip
from inference.importers.clip_resnet import CLIP_RESNET, import_clip_resnet
from inference.importers.family import TOKENIZER, Built, Parts, Request, Role, captioner
from inference.importers.ruclip import CLIP
from inference.importers.tensors import unsaid
from inference.presets.preset import Preset, preset
from inference.tokenizers.gpt2 import Gpt2Tokenizer

_BUFFERS = re.compile(r"\.attn\.(bias|masked_bias)$")  # causal masks that old versions of the library saved
_MAPPER_HEADS = 8  # fixed in ClipCap's code
_HEAD_WIDTH = 64  # of every GPT-2, and of ruGPT-3 but for the large one
_HEADS = {1536: 16}  # by width: ruGPT-3 large
_RUGPT_WORDS, _ENGLISH_WORDS = 50264, 50257
_RESNET_WIDTH = 640
# What a captioner saw through, by the width of its vectors and whether it speaks English: entries of `pull`.
_EYES = {
    (512, False): "ruclip-vit-base-patch32-384",
    (512, True): "clip-vit-b-32",
    (_RESNET_WIDTH, False): "clip-rn50x4",
    (_RESNET_WIDTH, True): "clip-rn50x4",
}
WHAT = "ClipCap checkpoint"


def is_clipcap(state: State) -> bool:
    """Whether the names are ClipCap's."""
    return any(key.startswith("clip_project.") for key in state)


def import_clipcap(
    path: Path, *, train_gpt: bool = False, heads: int | None = None, state: State | None = None
) -> GptPrefixDecoder:
    """The decoder of a ClipCap file; its picture vectors come from CLIP or ruCLIP.

    The mapper is an MLP, a transformer, or the single Linear that ClipCap's notebooks had for long prefixes.
    "Prefix only" files hold all of the language model too. ``train_gpt``: whether further training may change
    it. ``heads``: of the language model, where they are not as wide as GPT-2's or ruGPT-3's. ``state``: the
    file's tensors, where they were read already.

    Raises FileNotFoundError, or ImportFailed when the file is not one.
    """
    state = read_state(path) if state is None else state
    state = {key: value for key, value in state.items() if not _BUFFERS.search(key)}
    words = take(state, "gpt.transformer.wte.weight", WHAT, 2)
    vocabulary, width = words.shape
    # The output layer is the embedding itself; files that drop shared tensors do not hold it twice.
    if not torch.equal(state.pop("gpt.lm_head.weight", words), words):
        raise ImportFailed(f"{path} has an output layer of its own: GPT-2's is its embedding.")
    settings = {
        "kind": "gpt_prefix",
        "vocabulary": vocabulary,
        "width": width,
        "layers": count(state, "gpt.transformer.h."),
        "heads": heads_of(width, _HEADS.get(width, max(1, width // _HEAD_WIDTH)), heads),
        "positions": len(take(state, "gpt.transformer.wpe.weight", WHAT)),
        "train_gpt": train_gpt,
        **_mapper(state, width),
    }
    decoder = build_decoder(settings)
    renamed = {_renamed(key): value for key, value in state.items()}
    fill(decoder, renamed, "captioner its shapes tell of")
    if not isinstance(decoder, GptPrefixDecoder):
        raise TypeError("The prefix decoder's name is taken by another.")
    return decoder.eval()


def _renamed(key: str) -> str:
    alone = re.sub(r"^clip_project\.(weight|bias)$", r"mapper.linear.\1", key)
    return re.sub(r"^clip_project\.", "mapper.", alone)


def _mapper(state: State, width: int) -> dict[str, object]:
    name = "clip_project."
    if name + "prefix_const" in state:
        places, picture = take(state, name + "linear.weight", WHAT, 2).shape
        inner = take(state, name + "transformer.layers.0.mlp.fc1.weight", WHAT)
        return {
            "mapper": "transformer",
            "pictures": (picture,),
            "prefix": len(state[name + "prefix_const"]),
            "clip_length": places // width,
            "mapper_layers": count(state, name + "transformer.layers."),
            "mapper_heads": _MAPPER_HEADS,
            "mapper_ratio": len(inner) / width,
        }
    if name + "weight" in state:
        places, picture = take(state, name + "weight", WHAT, 2).shape
        return {"mapper": "linear", "pictures": (picture,), "prefix": places // width}
    return {
        "mapper": "mlp",
        "pictures": (take(state, name + "model.0.weight", WHAT, 2).shape[1],),
        "prefix": len(take(state, name + "model.2.weight", WHAT)) // width,
    }


CLIPCAP = Role(WHAT, is_clipcap)


def _build(request: Request, parts: Parts) -> Built:
    path = parts.paths[CLIPCAP]
    decoder = import_clipcap(path, heads=request.heads, state=parts.states.pop(CLIPCAP))
    words = decoder.vocabulary
    name = "clipcap-transformer" if decoder.config.mapper == "transformer" else "clipcap-mlp"
    encoder = _eye(request, parts, decoder, preset(name))
    if TOKENIZER not in parts.paths:
        entry = {_RUGPT_WORDS: "rugpt3small", _ENGLISH_WORDS: "gpt2"}.get(words)
        pulled = find_pulled(request.models_dir, entry) if entry else None
        if pulled is None:
            advice = f" ('{PYTHON} -m inference pull {entry}')" if entry else ""
            raise ImportFailed(
                f"{path} needs the tokenizer of its language model, which knows {words} tokens{advice}: name "
                "its folder with --tokenizer."
            )
        parts.paths[TOKENIZER] = pulled
    folder = parts.paths[TOKENIZER]
    tokenizer = Gpt2Tokenizer.load(folder if folder.is_dir() else folder.parent)
    silent = unsaid(len(tokenizer), words, folder, path)
    eos = tokenizer.eos
    if request.end:
        eos = (tokenizer.encode(request.end) or [eos])[0]
    elif words == _ENGLISH_WORDS:
        eos = tokenizer.encode(".")[0]
    room = decoder.config.positions - decoder.config.prefix
    options = {"strategy": "greedy", "max_tokens": min(67 if words == _ENGLISH_WORDS else 50, room)}
    special = SpecialTokens(tokenizer.bos, eos, tokenizer.pad, silent)
    return (
        CaptionModel(encoder, decoder, special, tokenizer),
        DecodingOptions.from_dict(options),
        name,
    )


def _eye(request: Request, parts: Parts, decoder: GptPrefixDecoder, system: Preset) -> Encoder:
    """The tower that was named, or that ``pull`` fetched."""
    width, path = decoder.config.pictures[0], parts.paths[CLIPCAP]
    if CLIP not in parts.paths and CLIP_RESNET not in parts.paths:
        entry = _EYES.get((width, decoder.vocabulary == _ENGLISH_WORDS))
        pulled = find_pulled(request.models_dir, entry) if entry else None
        if pulled is None:
            advice = f" ('{PYTHON} -m inference pull {entry}')" if entry else ""
            raise ImportFailed(
                f"{path} was trained on a CLIP model's vectors of {width} numbers: name that model's folder "
                f"with --encoder{advice}."
            )
        role = CLIP_RESNET if width == _RESNET_WIDTH else CLIP
        parts.paths[role] = next(iter(pulled.glob("*.pt")), pulled)
    if CLIP_RESNET in parts.paths:
        # The notebook of the published weights makes the vectors' length 1.
        normalise = True if request.normalise is None else request.normalise
        encoder: Encoder = import_clip_resnet(parts.state(CLIP_RESNET), normalise=normalise)
        source = parts.paths[CLIP_RESNET]
    else:
        source = parts.paths[CLIP]
        encoder = _vision(import_ruclip(source, state=parts.states.pop(CLIP, None)), request, system)
    if encoder.widths != (width,):
        raise ImportFailed(
            f"{path} was trained on picture vectors of {width} numbers, {source} gives {encoder.widths[0]}: "
            "name the CLIP model that it was trained with."
        )
    return encoder


def _vision(found: ImportedRuClip, request: Request, system: Preset) -> Encoder:
    """ruCLIP's towers differ in size; how a picture becomes a square is the captioner's."""
    if found.openai:
        return found.encoder(normalise=request.normalise)
    fitted = system.encoder.settings["preprocessing"]
    preprocessing = replace(found.preprocessing, fit=fitted["fit"], via=fitted["via"])
    return found.encoder(normalise=request.normalise, preprocessing=preprocessing)


FAMILY = captioner("clipcap", (CLIPCAP,), _build, (CLIP, CLIP_RESNET))
