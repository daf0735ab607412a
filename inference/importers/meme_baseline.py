"""The meme project's two baselines: a frozen ResNet before an LSTM of two layers."""

from __future__ import annotations

from pathlib import Path

from inference.captioners.encoder_decoder.model import CaptionModel
from inference.captioners.encoder_decoder.settings import SpecialTokens
from inference.checkpoints.weight_files.state import ImportFailed, State, count, fill, read_state, take
from inference.decoders.base import build_decoder
from inference.decoders.recurrent import RecurrentDecoder
from inference.encoders.base import Encoder, build_encoder
from inference.importers.family import WORDS, Built, Parts, Request, Role, captioner
from inference.importers.networks import kind_of, resnet_of
from inference.importers.tensors import recurrent, renamed
from inference.importers.vocabulary import fitting_vocabulary
from inference.presets.preset import preset
from inference.tokenizers.words import WordTokenizer


def is_meme_encoder(state: State) -> bool:
    """Whether the names are those of a baseline's encoder_epN.dth."""
    return "resnet.0.weight" in state and "embed.weight" in state


def is_meme_decoder(state: State) -> bool:
    """Whether the names are those of a baseline's decoder_epN.dth."""
    return {"embed.weight", "lstm.weight_ih_l0", "linear.weight"} <= state.keys()


def import_meme_baseline(
    encoder_path: Path,
    decoder_path: Path,
    vocabulary_path: Path,
    *,
    seen: State | None = None,
    spoken: State | None = None,
) -> tuple[Encoder, RecurrentDecoder, WordTokenizer]:
    """Both halves of a baseline of the meme project and its words: ResNet, Linear, BatchNorm, LSTM.

    The first baseline's vocabulary has a start word, which follows the picture; the second's (with navec) has
    none, there the picture stands in its place and its embedding stays frozen. ``seen`` and ``spoken``: the
    tensors of the two files, where they were read already.

    Raises FileNotFoundError, or ImportFailed when a file is not one, or the vocabulary is of another size.
    """
    what = "baseline's encoder (encoder_epN.dth)"
    seen = read_state(encoder_path) if seen is None else seen
    _, layers = resnet_of(seen)
    network = kind_of(layers)
    if network is None:
        blocks = tuple(count(layers, f"layer{stage}.") for stage in range(1, 5))
        raise ImportFailed(
            f"This is no {what}: its ResNet has {blocks} blocks, known are 34, 50 and 101 layers."
        )
    encoder = build_encoder({"kind": network})
    fill(encoder, {f"backbone.{key}": value for key, value in layers.items()}, network)

    what = "baseline's decoder (decoder_epN.dth)"
    spoken = read_state(decoder_path) if spoken is None else spoken
    size, width = take(spoken, "embed.weight", what, 2).shape
    hidden = take(spoken, "linear.weight", what, 2).shape[1]
    places, picture = take(seen, "embed.weight", "baseline's encoder", 2).shape
    if picture != encoder.widths[0] or places != width:
        raise ImportFailed(
            f"{encoder_path} turns {picture} numbers of a picture into {places}, where {network} gives "
            f"{encoder.widths[0]} and {decoder_path} takes {width}: find the two that were saved together."
        )
    words = fitting_vocabulary(vocabulary_path, decoder_path, size)
    decoder = build_decoder(
        {
            "kind": "recurrent",
            "vocabulary": size,
            "picture": picture,
            "embedding": width,
            "hidden": hidden,
            "layers": sum(key.startswith("lstm.weight_ih_l") for key in spoken),
            "feed": "first_input" if words.has_start else "instead_of_start",
            "batchnorm": True,
            "dropout": 0.2 if words.has_start else 0.5,
            "train_embedding": words.has_start,
            "padding": words.pad if words.has_start else None,
        }
    )
    own = {
        renamed(key, {"embed": "embedding", "lstm": "rnn", "linear": "output"}): value
        for key, value in spoken.items()
    }
    own |= {
        renamed(key, {"embed": "bridge.0", "batch": "bridge.1"}): value
        for key, value in seen.items()
        if not key.startswith("resnet.")
    }
    fill(decoder, own, what)
    return encoder.eval(), recurrent(decoder), words


ENCODER = Role("meme baseline's encoder", is_meme_encoder)
DECODER = Role("meme baseline's decoder", is_meme_decoder)


def _build(request: Request, parts: Parts) -> Built:  # noqa: ARG001 - as every captioner is built
    encoder, decoder, tokenizer = import_meme_baseline(
        parts.paths[ENCODER],
        parts.paths[DECODER],
        parts.need(WORDS, "name the JSON that was saved with the decoder with --vocabulary"),
        seen=parts.states.pop(ENCODER),
        spoken=parts.states.pop(DECODER),
    )
    name = "resnet50-lstm" if tokenizer.has_start else "resnet101-lstm-navec"
    silent = () if tokenizer.has_start or tokenizer.unk is None else (tokenizer.unk,)
    special = SpecialTokens(tokenizer.bos, tokenizer.eos, tokenizer.pad, silent)
    return CaptionModel(encoder, decoder, special, tokenizer), preset(name).options, name


FAMILY = captioner("meme-baseline", (ENCODER, DECODER), _build)
