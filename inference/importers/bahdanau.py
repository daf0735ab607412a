"""The captioner with Bahdanau's attention over Inception-v3, LSTM or GRU: two checkpoints of TensorFlow."""

from __future__ import annotations

import torch
from torch import Tensor

from inference.captioners.encoder_decoder.model import CaptionModel
from inference.captioners.encoder_decoder.settings import SpecialTokens
from inference.checkpoints.weight_files.state import ImportFailed, State, fill, take
from inference.decoders.base import build_decoder
from inference.decoders.recurrent import RecurrentDecoder
from inference.importers.family import WORDS, Built, Parts, Request, Role, captioner
from inference.importers.networks import NETWORK, see_through
from inference.importers.tensors import recurrent
from inference.importers.vocabulary import fitting_vocabulary
from inference.presets.preset import preset

WHAT = "Bahdanau captioner"
_DENSE = {
    "fc_m0": "initial_hidden.0",
    "fc_c0": "initial_cell.0",
    "attention/fc_attn": "attention.keys",
    "attention/fc_hidden": "attention.query",
    "attention/fc_v": "attention.score",
    "fc": "head.0",
    "fc_vocab": "output",
}


def is_encoder(state: State) -> bool:
    """Whether the variables are those of the one layer over Inception's grid."""
    return state.keys() >= {"fc_attn/kernel"} and "rnn/kernel" not in state


def is_decoder(state: State) -> bool:
    """Whether the variables are the decoder's."""
    return {"rnn/kernel", "attention/fc_v/kernel", "fc_vocab/kernel"} <= state.keys()


def import_bahdanau(seen: State, spoken: State) -> RecurrentDecoder:
    """The decoder of both checkpoints' variables.

    Raises ImportFailed when they are not of one captioner, or of a GRU as only TensorFlow 1 computed it.
    """
    size, width = take(spoken, "embedding/embeddings", WHAT, 2).shape
    picture, grid = take(seen, "fc_attn/kernel", "Bahdanau captioner's encoder", 2).shape
    units = take(spoken, "rnn/recurrent_kernel", WHAT, 2).shape[0]
    lstm = take(spoken, "rnn/kernel", WHAT, 2).shape[1] == 4 * units
    decoder = build_decoder(
        {
            **preset(_preset_of(lstm=lstm)).decoder_config(),
            "vocabulary": size,
            "picture": picture,
            "embedding": width,
            "hidden": units,
            "grid": grid,
            "attention_width": take(spoken, "attention/fc_v/kernel", WHAT, 2).shape[0],
            "head": take(spoken, "fc/kernel", WHAT, 2).shape[1],
            "padding": None,
        }
    )
    own: State = {"embedding.weight": spoken["embedding/embeddings"]}
    for theirs, ours in _DENSE.items():
        if f"{theirs}/kernel" in spoken:
            own |= _dense(spoken, theirs, ours)
    own |= _dense(seen, "fc_attn", "grid.0") | _recurrent(spoken, grid, lstm=lstm)
    fill(decoder, own, WHAT)
    return recurrent(decoder)


def _preset_of(*, lstm: bool) -> str:
    return "inception-bahdanau" if lstm else "inception-bahdanau-gru"


def _dense(state: State, theirs: str, ours: str) -> State:
    return {
        f"{ours}.weight": take(state, f"{theirs}/kernel", WHAT, 2).T.contiguous(),
        f"{ours}.bias": take(state, f"{theirs}/bias", WHAT),
    }


def _recurrent(state: State, seen: int, *, lstm: bool) -> State:
    """Keras's cell as torch's: there the picture stands before the word, and a GRU's update gate before its
    reset gate."""
    kernel, inner, bias = (
        take(state, f"rnn/{name}", WHAT) for name in ("kernel", "recurrent_kernel", "bias")
    )
    entry = torch.cat([kernel[seen:], kernel[:seen]]).T
    inner = inner.T
    if lstm:
        biases = [bias, torch.zeros_like(bias)]
    elif bias.dim() == 2:
        entry, inner = _reset_first(entry), _reset_first(inner)
        biases = [_reset_first(one) for one in bias]
    else:
        raise ImportFailed(
            f"The {WHAT}'s GRU resets its state before the product (reset_after=False), which torch cannot "
            "compute: train it anew with the preset inception-bahdanau-gru."
        )
    names = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
    values = (entry.contiguous(), inner.contiguous(), *biases)
    return {f"rnn.{name}": value for name, value in zip(names, values, strict=True)}


def _reset_first(gates: Tensor) -> Tensor:
    update, reset, new = gates.chunk(3)
    return torch.cat([reset, update, new])


ENCODER = Role("Bahdanau captioner's encoder", is_encoder)
DECODER = Role("Bahdanau captioner's decoder", is_decoder)


def _build(request: Request, parts: Parts) -> Built:
    path = parts.paths[DECODER]
    words = parts.need(WORDS, "name the vocabulary.pkl of the captioner with --vocabulary")
    decoder = import_bahdanau(parts.state(ENCODER), parts.state(DECODER))
    tokenizer = fitting_vocabulary(words, path, decoder.vocabulary)
    system = preset(_preset_of(lstm=decoder.config.cell == "lstm"))
    encoder = see_through(request, parts, path, system.encoder_config())
    special = SpecialTokens(tokenizer.bos, tokenizer.eos, tokenizer.pad)
    return CaptionModel(encoder, decoder, special, tokenizer), system.options, system.name


FAMILY = captioner("bahdanau", (ENCODER, DECODER), _build, (NETWORK,))
