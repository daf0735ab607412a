"""The captioner of ResNet-34 and an LSTM of three layers, encoder and decoder in one file.

Its author's modules are told by their shapes: a ResNet, an LSTM, an embedding as wide as the picture's
vector, and the layer to the vocabulary.
"""

from __future__ import annotations

from inference.captioners.encoder_decoder.model import CaptionModel
from inference.captioners.encoder_decoder.settings import SpecialTokens
from inference.checkpoints.weight_files.state import ImportFailed, State, fill
from inference.decoders.base import build_decoder
from inference.decoders.recurrent import RecurrentDecoder
from inference.encoders.base import Encoder, build_encoder
from inference.importers.family import WORDS, Built, Parts, Request, Role, captioner
from inference.importers.networks import kind_of, resnet_of
from inference.importers.tensors import modules, recurrent
from inference.importers.vocabulary import fitting_vocabulary
from inference.presets.preset import preset

WHAT = "ResNet-LSTM captioner"
_PRESET = "resnet34-lstm"
_FIRST = "weight_ih_l0"


def is_resnet_lstm(state: State) -> bool:
    """Whether there is a ResNet and an LSTM in one table."""
    return bool(_lstm(state)) and bool(resnet_of(state)[1])


def _lstm(state: State) -> str:
    """The LSTM's name; "" where there is none."""
    return next((key.removesuffix(f".{_FIRST}") for key in state if key.endswith(f".{_FIRST}")), "")


def import_resnet_lstm(state: State) -> tuple[Encoder, RecurrentDecoder]:
    """Both halves. Raises ImportFailed when the file is not one."""
    system, lstm = preset(_PRESET), _lstm(state)
    prefix, network = resnet_of(state)
    if not lstm or kind_of(network) != system.encoder.kind:
        raise ImportFailed(f"This is no {WHAT}: name the file that holds a ResNet-34 and an LSTM.")
    encoder = build_encoder(system.encoder_config())
    heads = ("fc.",)
    fill(encoder, {f"backbone.{k}": v for k, v in network.items() if not k.startswith(heads)}, WHAT)
    own = {key: value for key, value in state.items() if not key.startswith(prefix)}
    rnn = {f"rnn.{k[len(lstm) + 1 :]}": v for k, v in own.items() if k.startswith(f"{lstm}.")}
    hidden, entry = rnn["rnn.weight_hh_l0"].shape[1], rnn[f"rnn.{_FIRST}"].shape[1]
    names = {}
    for name in modules(own) - {lstm}:
        shape = tuple(own[f"{name}.weight"].shape)
        if f"{name}.bias" not in own and shape[1:] == (entry,):
            names[name] = "embedding"
        elif shape[1:] == (hidden,):
            names[name] = "output"
        else:
            raise ImportFailed(f"This is no {WHAT}: it has a layer {name} of the shape {shape} too many.")
    if sorted(names.values()) != ["embedding", "output"]:
        raise ImportFailed(f"This is no {WHAT}: it lacks an embedding or the layer to the vocabulary.")
    mapped = {
        f"{names[name]}{key[len(name) :]}": own[key]
        for name in names
        for key in own
        if key.startswith(f"{name}.")
    }
    decoder = build_decoder(
        {
            **system.decoder_config(),
            "vocabulary": len(mapped["embedding.weight"]),
            "embedding": entry,
            "hidden": hidden,
            "layers": sum(key.startswith("rnn.weight_ih_l") for key in rnn),
        }
    )
    fill(decoder, {**rnn, **mapped}, WHAT)
    return encoder.eval(), recurrent(decoder)


CAPTIONER = Role(WHAT, is_resnet_lstm)


def _build(request: Request, parts: Parts) -> Built:  # noqa: ARG001 - as every captioner is built
    path = parts.paths[CAPTIONER]
    words = parts.need(WORDS, "name the vocabulary that was saved with it with --vocabulary")
    encoder, decoder = import_resnet_lstm(parts.state(CAPTIONER))
    tokenizer = fitting_vocabulary(words, path, decoder.vocabulary)
    special = SpecialTokens(tokenizer.bos, tokenizer.eos, tokenizer.pad)
    return CaptionModel(encoder, decoder, special, tokenizer), preset(_PRESET).options, _PRESET


FAMILY = captioner("resnet-lstm", (CAPTIONER,), _build)
