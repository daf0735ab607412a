"""``CaptionNet``, v1 to v7 of a published series: an LSTMCell whose first state is made of the picture."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from inference.captioners.encoder_decoder.model import CaptionModel
from inference.captioners.encoder_decoder.settings import SpecialTokens
from inference.checkpoints.weight_files.state import ImportFailed, State, fill, take
from inference.decoders.base import build_decoder
from inference.decoders.recurrent import RecurrentDecoder
from inference.importers.family import WORDS, Built, Parts, Request, Role, captioner
from inference.importers.networks import NETWORK, kind_of, see_through
from inference.importers.tensors import modules, recurrent
from inference.importers.vocabulary import fitting_vocabulary
from inference.presets.preset import Preset, preset

WHAT = "CaptionNet"
_VERSIONS = (
    "inception-lstm-glove",
    "inception-lstm-crawl",
    "inception-attention",
    "resnext101-attention",
    "resnet101-attention",
    "resnet101-lstm",
    "resnet101-attention-dot",
)
_VERSION = re.compile(r"(?:^|[^a-z0-9])v([1-7])(?![0-9])")
_STATE = {"cnn_to_h0": "initial_hidden.0", "cnn_to_c0": "initial_cell.0"}


def is_caption_net(state: State) -> bool:
    """Whether the names are those of the series."""
    return {"cnn_to_h0.weight", "cnn_to_c0.weight", "lstm.weight_ih"} <= state.keys()


def import_caption_net(state: State) -> RecurrentDecoder:
    """The decoder. Of what is not named alike in all versions (the attention's layers, the layer before the
    vocabulary) the shapes tell what it is.

    Raises ImportFailed when the file is not one.
    """
    hidden, picture = take(state, "cnn_to_h0.weight", WHAT, 2).shape
    found = modules(state) - {*_STATE, "lstm"}
    embedding = next((name for name in found if f"{name}.bias" not in state), None)
    if embedding is None:
        raise ImportFailed(f"This is no {WHAT}: it has no embedding of words, so name the file that is one.")
    size, width = take(state, f"{embedding}.weight", WHAT, 2).shape
    names = {embedding: "embedding", **_STATE}
    settings: dict[str, Any] = {"attention": "none", "head": 0}
    for name in found - {embedding}:
        shape = tuple(take(state, f"{name}.weight", WHAT, 2).shape)
        if shape[1] == picture:
            names[name] = "attention.keys"
        elif shape[0] == 1:
            names[name], settings["attention"] = "attention.score", "additive"
            settings["attention_width"] = shape[1]
        elif shape == (picture, hidden):
            names[name], settings["attention"] = "attention.query", "dot"
        elif shape[0] == size:
            names[name] = "output"
        else:
            names[name] = "rest"
    rest = [name for name, ours in names.items() if ours == "rest"]
    if len(rest) == 1:  # one more layer on the state: attention's query, or before the vocabulary
        asks = settings["attention"] == "additive"
        names[rest[0]] = "attention.query" if asks else "head.0"
        if not asks:
            settings |= {"head": len(state[f"{rest[0]}.weight"]), "head_activation": "relu"}
    decoder = build_decoder(
        {
            "kind": "recurrent",
            "vocabulary": size,
            "picture": picture,
            "embedding": width,
            "hidden": hidden,
            "feed": "initial_state",
            "state_activation": "sigmoid",
            "dropout": 0.4,
            "train_embedding": False,
            "padding": 0,
            **settings,
        }
    )
    own = {f"rnn.{key.partition('.')[2]}_l0": v for key, v in state.items() if key.startswith("lstm.")}
    for theirs, ours in names.items():
        own |= {f"{ours}{key[len(theirs) :]}": v for key, v in state.items() if key.startswith(f"{theirs}.")}
    fill(decoder, own, WHAT)
    return recurrent(decoder)


def _system(decoder: RecurrentDecoder, path: Path, network: State | None) -> Preset:
    """Which of the seven it is: its layers tell half of it, the network that was named or the file's name
    the rest."""
    config = decoder.config
    kind = None if network is None else kind_of(network)
    version = _VERSION.search(path.stem.lower())
    fitting = [
        system
        for number, system in enumerate(map(preset, _VERSIONS), 1)
        if system.bridge.get("attention", "none") == config.attention
        and bool(system.decoder.settings.get("head")) == bool(config.head)
        and (kind is None or system.encoder.kind == kind)
        and (kind is not None or version is None or int(version[1]) == number)
    ]
    if len(fitting) != 1:
        some = " or ".join(system.encoder.kind for system in fitting) or "another network"
        raise ImportFailed(
            f"{path} saw through {some}, which its tensors do not tell: name that network's file with "
            "--encoder, or call the file v1 to v7 as its author did."
        )
    return fitting[0]


DECODER = Role(WHAT, is_caption_net)


def _build(request: Request, parts: Parts) -> Built:
    path = parts.paths[DECODER]
    words = parts.need(WORDS, "name the list of its words, as JSON or pickle, with --vocabulary")
    decoder = import_caption_net(parts.state(DECODER))
    tokenizer = fitting_vocabulary(words, path, decoder.vocabulary)
    system = _system(decoder, path, parts.states.get(NETWORK))
    encoder = see_through(request, parts, path, system.encoder_config())
    special = SpecialTokens(tokenizer.bos, tokenizer.eos, tokenizer.pad)
    return CaptionModel(encoder, decoder, special, tokenizer), system.options, system.name


FAMILY = captioner("caption-net", (DECODER,), _build, (NETWORK,))
