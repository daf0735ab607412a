"""The recurrent captioners: the meme project's two baselines, and the MobileNet one with soft attention."""

from __future__ import annotations

from pathlib import Path

from inference.checkpoints.weight_files.state import ImportFailed, State, count, fill, read_state, take
from inference.decoders.base import build_decoder
from inference.decoders.recurrent import RecurrentDecoder
from inference.encoders.base import Encoder, build_encoder
from inference.importers.vocabulary import read_vocabulary
from inference.tokenizers.words import WordTokenizer

_STEM = {"0": "conv1", "1": "bn1", "4": "layer1", "5": "layer2", "6": "layer3", "7": "layer4"}
_NETWORKS: dict[tuple[tuple[int, ...], bool], str] = {
    ((3, 4, 6, 3), False): "resnet34",
    ((3, 4, 6, 3), True): "resnet50",
    ((3, 4, 23, 3), True): "resnet101",
}
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


def is_meme_encoder(state: State) -> bool:
    """Whether the names are those of a baseline's encoder_epN.dth."""
    return "resnet.0.weight" in state and "embed.weight" in state


def is_meme_decoder(state: State) -> bool:
    """Whether the names are those of a baseline's decoder_epN.dth."""
    return {"embed.weight", "lstm.weight_ih_l0", "linear.weight"} <= state.keys()


def is_soft_attention(state: State) -> bool:
    """Whether the names are those of the MobileNet captioner."""
    return "f_beta.weight" in state and ("lstm_cell.weight_ih" in state or "decode_step.weight_ih" in state)


def is_mobilenet(state: State) -> bool:
    """Whether the names are those of torchvision's MobileNet-v3-small."""
    return "features.0.0.weight" in state and "features.12.0.weight" in state


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
    blocks = tuple(count(seen, f"resnet.{stage}.") for stage in "4567")
    network = _NETWORKS.get((blocks, "resnet.4.0.conv3.weight" in seen))
    if network is None:
        raise ImportFailed(
            f"This is no {what}: its ResNet has {blocks} blocks, known are 34, 50 and 101 layers."
        )
    encoder = build_encoder({"kind": network})
    backbone: State = {}
    for key, value in seen.items():
        if key.startswith("resnet."):
            _, stage, rest = key.split(".", 2)
            backbone[f"backbone.{_STEM.get(stage, stage)}.{rest}"] = value
    fill(encoder, backbone, network)

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
    renamed = {
        _renamed(key, {"embed": "embedding", "lstm": "rnn", "linear": "output"}): value
        for key, value in spoken.items()
    }
    renamed |= {
        _renamed(key, {"embed": "bridge.0", "batch": "bridge.1"}): value
        for key, value in seen.items()
        if not key.startswith("resnet.")
    }
    fill(decoder, renamed, what)
    return encoder.eval(), _recurrent(decoder), words


def fitting_vocabulary(vocabulary_path: Path, weights_path: Path, size: int) -> WordTokenizer:
    """The words of a captioner that was trained with ``size`` of them. Raises as the importers do."""
    words = read_vocabulary(vocabulary_path)
    if len(words) != size:
        raise ImportFailed(
            f"{vocabulary_path} has {len(words)} words, {weights_path} was trained with {size}: they are not "
            "of the same captioner, so find the vocabulary that was saved with it."
        )
    return words


def import_soft_attention(path: Path, *, state: State | None = None) -> RecurrentDecoder:
    """The MobileNet captioner's decoder. The original pickled the whole module; a state_dict does as well.

    ``state``: the file's tensors, where they were read already.

    Raises FileNotFoundError, or ImportFailed when the file is not one.
    """
    what = "soft attention decoder"
    state = read_state(path) if state is None else state
    state = {_renamed(key, _TUTORIAL): value for key, value in state.items()}
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
    renamed: State = {}
    for key, value in state.items():
        if key.startswith("lstm_cell."):
            renamed[key.replace("lstm_cell.", "rnn.") + "_l0"] = value
        else:
            renamed[_renamed(key, _ATTENTION)] = value
    fill(decoder, renamed, what)
    return _recurrent(decoder)


def import_mobilenet(path: Path, *, state: State | None = None) -> Encoder:
    """torchvision's MobileNet-v3-small as the soft attention captioner saw with it: scaled to 256, the middle
    224 pixels cut out, a grid of 7 x 7 places.

    Raises FileNotFoundError, or ImportFailed when the file is not one.
    """
    state = read_state(path) if state is None else state
    encoder = build_encoder(
        {
            "kind": "mobilenet_v3_small",
            "yields": "grid",
            "preprocessing": {"size": 224, "fit": "crop", "resize": 256},
        }
    )
    kept = {f"backbone.{key}": value for key, value in state.items() if not key.startswith("classifier.")}
    fill(encoder, kept, "MobileNet-v3-small")
    return encoder.eval()


def _renamed(key: str, names: dict[str, str]) -> str:
    module, _, parameter = key.rpartition(".")
    return f"{names.get(module, module)}.{parameter}"


def _recurrent(decoder: object) -> RecurrentDecoder:
    if not isinstance(decoder, RecurrentDecoder):
        raise TypeError("The recurrent decoder's name is taken by another.")
    return decoder.eval()
