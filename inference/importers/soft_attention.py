"""The web service's captioner: MobileNet-v3-small's grid, soft attention with a gate, an LSTM."""

from __future__ import annotations

from pathlib import Path

from inference.captioners.encoder_decoder.model import CaptionModel
from inference.captioners.encoder_decoder.settings import SpecialTokens
from inference.checkpoints.weight_files.state import ImportFailed, State, fill, read_state, take
from inference.decoders.base import build_decoder
from inference.decoders.recurrent import RecurrentDecoder
from inference.importers.family import WORDS, Built, Parts, Request, Role, captioner
from inference.importers.networks import NETWORK, see_through
from inference.importers.tensors import recurrent, renamed
from inference.importers.vocabulary import fitting_vocabulary
from inference.presets.preset import preset

_PRESET = "mobilenet-soft-attention"
# The captioner of the web service; in brackets what the tutorial it follows (sgrvinod's) calls the same.
_TUTORIAL = {
    "attention.encoder_att": "attention.encoder_attn",
    "attention.decoder_att": "attention.decoder_attn",
    "attention.full_att": "attention.full_attn",
    "embedding": "embed",
    "decode_step": "lstm_cell",
}
_ATTENTION = {
    "attention.encoder_attn": "attention.keys",
    "attention.decoder_attn": "attention.query",
    "attention.full_attn": "attention.score",
    "embed": "embedding",
    "f_beta": "gate",
    "fc": "output",
    "init_c": "initial_cell.0",
    "init_h": "initial_hidden.0",
}


def is_soft_attention(state: State) -> bool:
    """Whether the names are those of the MobileNet captioner."""
    return "f_beta.weight" in state and ("lstm_cell.weight_ih" in state or "decode_step.weight_ih" in state)


def import_soft_attention(path: Path, *, state: State | None = None) -> RecurrentDecoder:
    """The MobileNet captioner's decoder. The original pickled the whole module; a state_dict does as well.

    ``state``: the file's tensors, where they were read already.

    Raises FileNotFoundError, or ImportFailed when the file is not one.
    """
    what = "soft attention decoder"
    state = read_state(path) if state is None else state
    state = {renamed(key, _TUTORIAL): value for key, value in state.items()}
    size, width = take(state, "embed.weight", what, 2).shape
    attended, picture = take(state, "attention.encoder_attn.weight", what, 2).shape
    decoder = build_decoder(
        {
            "kind": "recurrent",
            "vocabulary": size,
            "picture": picture,
            "embedding": width,
            "hidden": take(state, "fc.weight", what, 2).shape[1],
            "feed": "initial_state",
            "attention": "soft",
            "attention_width": attended,
            "gate": True,
            "dropout": 0.5,
        }
    )
    own: State = {}
    for key, value in state.items():
        if key.startswith("lstm_cell."):
            own[key.replace("lstm_cell.", "rnn.") + "_l0"] = value
        else:
            own[renamed(key, _ATTENTION)] = value
    fill(decoder, own, what)
    return recurrent(decoder)


DECODER = Role("soft attention decoder", is_soft_attention)


def _build(request: Request, parts: Parts) -> Built:
    system, path = preset(_PRESET), parts.paths[DECODER]
    vocabulary = parts.need(WORDS, "name the vocab.pkl or JSON of the captioner with --vocabulary")
    decoder = import_soft_attention(path, state=parts.states.pop(DECODER))
    tokenizer = fitting_vocabulary(vocabulary, path, decoder.vocabulary)
    encoder = see_through(request, parts, path, system.encoder_config())
    if encoder.widths != (decoder.config.picture,):
        raise ImportFailed(
            f"{path} was trained on places of {decoder.config.picture} numbers, MobileNet-v3-small gives "
            f"{encoder.widths[0]}: it is another captioner's decoder."
        )
    special = SpecialTokens(tokenizer.bos, tokenizer.eos, tokenizer.pad)
    return CaptionModel(encoder, decoder, special, tokenizer), system.options, _PRESET


FAMILY = captioner("soft-attention", (DECODER,), _build, (NETWORK,))
