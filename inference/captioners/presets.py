"""Every captioner of the originals by name, as data: what sees, what speaks, how words are cut and searched.

Sizes are the originals'. Where their sources leave a choice open, the note says what was chosen.
``vocabulary`` is replaced by the tokenizer's size when a model is built for training.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from inference.captioners.encoder_decoder import CaptionModel, SpecialTokens
from inference.common.types import DecodingOptions, EngineError
from inference.decoders.base import build_decoder
from inference.encoders.base import build_encoder
from inference.presets.catalogue import CATALOGUE
from inference.reading.reading import Reading
from inference.tokenizers.base import Tokenizer, load_tokenizer
from inference.tokenizers.vectors import read_vectors
from inference.tokenizers.words_read import SLOTS, WordsRead, slotted

IMAGE, DESCRIPTION = "<IMG>", "<DESC>"
_RUGPT_WORDS, _GPT2_WORDS = 50264, 50257
_START = {"pad": 0, "bos": 1, "eos": 2}  # <pad> <start> <end> <unk>
_NAVEC = {"pad": 0, "bos": 0, "eos": 0, "forbidden": [1]}  # <pad> <unk>: <unk> is never said
_RUGPT = {"pad": 0, "bos": 1, "eos": 2}


@dataclass(frozen=True)
class Preset:
    """One system, as :func:`build` builds it."""

    name: str
    encoder: Mapping[str, Any]
    decoder: Mapping[str, Any]
    tokenizer: Mapping[str, Any]  # kind, and how a vocabulary is made for it
    special: Mapping[str, Any]  # the token numbers of such a vocabulary
    decoding: Mapping[str, Any]
    vectors: str = ""  # word vectors that the embedding starts from
    note: str = ""  # what the source leaves open, and what was chosen
    smoke_encoder: Mapping[str, Any] = field(default_factory=dict)
    smoke_decoder: Mapping[str, Any] = field(default_factory=dict)

    @property
    def description(self) -> str:
        """One line."""
        return CATALOGUE[self.name].description

    @property
    def reads(self) -> WordsRead:
        """How this system can be given the words read on a picture, which no original was."""
        return "slots" if self.tokenizer["kind"] == "words" else "prompt"

    def options(self) -> DecodingOptions:
        """How this system searches by default."""
        return DecodingOptions.from_dict(self.decoding)


_GREEDY30 = {"strategy": "greedy", "max_tokens": 30}
_BEAM3 = {"strategy": "beam", "beams": 3, "max_tokens": 40}
_WORDS = {"kind": "words", "threshold": 1, "specials": ["<pad>", "<start>", "<end>", "<unk>"]}
_SMALL_PICTURE = {"preprocessing": {"size": 64}}
_SMALL_RNN = {"embedding": 32, "hidden": 64, "dropout": 0.0}


def _recurrent(name: str, network: str, picture: int, **settings: Any) -> Preset:
    """An encoder of torchvision and a recurrent decoder; settings that start with ``preset_`` are ours."""
    about = {
        key.removeprefix("preset_"): settings.pop(key) for key in list(settings) if key.startswith("preset_")
    }
    yields = "grid" if settings.get("attention", "none") != "none" else "global"
    decoder = {"kind": "recurrent", "vocabulary": 20_000, "picture": picture, "padding": 0, **settings}
    small = {
        **_SMALL_RNN,
        **({"input": 48} if settings.get("input") else {}),
        **({"grid": 48} if settings.get("grid") else {}),
        **({"head": 48} if settings.get("head") else {}),
        **({"attention_width": 48} if yields == "grid" else {}),
        # The words' vectors come from elsewhere at full size; here they must be learned.
        "train_embedding": True,
    }
    return Preset(
        name,
        encoder={"kind": network, "yields": yields, **about.pop("encoder", {})},
        decoder=decoder,
        tokenizer={**_WORDS, **about.pop("tokenizer", {})},
        special=about.pop("special", _START),
        decoding=about.pop("decoding", _BEAM3),
        smoke_encoder={"preprocessing": {"size": 96}} if network == "inception_v3" else _SMALL_PICTURE,
        smoke_decoder=small,
        **about,
    )


def _show_attend(name: str, network: str, **settings: Any) -> Preset:
    """The v1 .. v7 family: an LSTM of 512 whose first state the picture makes, over frozen vectors of 300."""
    return _recurrent(
        name,
        network,
        2048,
        embedding=300,
        hidden=512,
        dropout=0.4,
        feed="initial_state",
        state_activation="sigmoid",
        train_embedding=False,
        **{"preset_vectors": "fastText crawl 300", **settings},
    )


_RUCLIP = {"kind": "ruclip"}
_SMALL_CLIP = {
    "embed_dim": 32,
    "image_resolution": 64,
    "vision_layers": 2,
    "vision_width": 64,
    "vision_patch_size": 16,
}
_SMALL_GPT = {
    "prefix": 4,
    "clip_length": 4,
    "mapper_layers": 2,
    "mapper_heads": 4,
    "width": 64,
    "layers": 2,
    "heads": 4,
    "positions": 128,
    "dropout": 0.0,
}


def _clipcap(name: str, **settings: Any) -> Preset:
    note = settings.pop("preset_note", "")
    return Preset(
        name,
        encoder=_RUCLIP,
        decoder={
            "kind": "gpt_prefix",
            "vocabulary": _RUGPT_WORDS,
            "pictures": [512],
            "prefix": 10,
            "positions": 2048,
            **settings,
        },
        tokenizer={"kind": "gpt2"},
        special=_RUGPT,
        decoding={"strategy": "greedy", "max_tokens": 50},
        note=note,
        smoke_encoder=_SMALL_CLIP,
        smoke_decoder={**_SMALL_GPT, "pictures": [32]},
    )


_ALL = [
    _recurrent(
        "resnet50-lstm",
        "resnet50",
        2048,
        embedding=512,
        hidden=512,
        layers=2,
        dropout=0.2,
        batchnorm=True,
        preset_decoding={"strategy": "beam", "beams": 3, "max_tokens": 100},
        preset_note="The original sampled every word from the full distribution; here a beam of 3 is usual.",
    ),
    _recurrent(
        "resnet101-lstm-navec",
        "resnet101",
        2048,
        embedding=300,
        hidden=512,
        layers=2,
        dropout=0.5,
        batchnorm=True,
        feed="instead_of_start",
        train_embedding=False,
        preset_tokenizer={"threshold": 5, "specials": ["<pad>", "<unk>"]},
        preset_special=_NAVEC,
        preset_vectors="navec hudlit 12B 500K 300d",
        preset_decoding={"strategy": "beam", "beams": 3, "max_tokens": 100},
        preset_note="The end of a sentence is its first <pad>, as in the original.",
    ),
    _recurrent(
        "resnet34-lstm",
        "resnet34",
        512,
        input=512,
        embedding=300,
        hidden=300,
        layers=3,
        dropout=0.05,
        preset_tokenizer={"threshold": 6},
        preset_decoding=_GREEDY30,
        preset_note="'LSTM 512->300' is read as input 512, state 300; words of 300 are lifted to 512.",
    ),
    _recurrent(
        "densenet121-lstm",
        "densenet121",
        1024,
        embedding=1024,
        hidden=1024,
        preset_decoding=_GREEDY30,
        preset_note="Its author's next step, the unfrozen encoder, is trainable_stages of the encoder.",
    ),
    _recurrent(
        "fasterrcnn-lstm",
        "fasterrcnn_fpn",
        256,
        input=1024,
        embedding=200,
        hidden=200,
        preset_decoding={"strategy": "greedy", "max_tokens": 20},
        preset_note="'LSTM 1024->200' is read as input 1024, state 200; the map's places are averaged.",
    ),
    _show_attend(
        "inception-lstm-glove",
        "inception_v3",
        preset_vectors="GloVe 6B 300",
    ),
    _show_attend(
        "inception-lstm-crawl",
        "inception_v3",
        head=512,
        head_activation="relu",
    ),
    _show_attend(
        "inception-attention",
        "inception_v3",
        attention="additive",
    ),
    _show_attend(
        "resnext101-attention",
        "resnext101",
        attention="additive",
    ),
    _show_attend(
        "resnet101-attention",
        "resnet101",
        attention="additive",
    ),
    _show_attend("resnet101-lstm", "resnet101"),
    _show_attend(
        "resnet101-attention-dot",
        "resnet101",
        attention="dot",
    ),
    *(
        _recurrent(
            name,
            "inception_v3",
            2048,
            embedding=300,
            hidden=512,
            cell=cell,
            feed="initial_state",
            state_activation="relu",
            attention="additive",
            query=query,
            grid=512,
            head=512,
            preset_vectors="GloVe 6B 300",
            vocabulary=5000,
            preset_tokenizer={"limit": 5000},
            preset_note=note,
        )
        for name, cell, query, note in (
            ("inception-bahdanau", "lstm", "hidden_and_cell", ""),
            ("inception-bahdanau-gru", "gru", "hidden", "A GRU has no cell: its state alone is the query."),
        )
    ),
    _recurrent(
        "mobilenet-soft-attention",
        "mobilenet_v3_small",
        576,
        embedding=1024,
        hidden=1024,
        dropout=0.5,
        feed="initial_state",
        attention="soft",
        attention_width=2048,
        gate=True,
        preset_encoder={"preprocessing": {"size": 224, "fit": "crop", "resize": 256}},
        preset_decoding=_GREEDY30,
    ),
    _clipcap("clipcap-mlp"),
    _clipcap("clipcap-mlp-tuned", train_gpt=True),
    _clipcap(
        "clipcap-transformer",
        mapper="transformer",
        prefix=40,
        clip_length=40,
        preset_note="Prefix and clip length are the paper's.",
    ),
    Preset(
        "gpt2-inception-prefix",
        encoder={"kind": "inception_v3", "yields": "grid"},
        decoder={
            "kind": "gpt_prefix",
            "vocabulary": _GPT2_WORDS + 2,
            "pictures": [2048],
            "mapper": "grid",
            "positions": 1024,
            "image_token": _GPT2_WORDS,
            "token_types": True,
            "train_gpt": True,
        },
        tokenizer={"kind": "gpt2", "markers": [IMAGE, DESCRIPTION]},
        special={"bos": _GPT2_WORDS + 1, "eos": 50256, "pad": 50256},
        decoding={"strategy": "sample", "top_p": 0.8, "max_tokens": 50},
        smoke_encoder={"preprocessing": {"size": 96}},
        smoke_decoder={**_SMALL_GPT, "pictures": [2048]},
    ),
    Preset(
        "gpt2-resnet-multilayer-prefix",
        encoder={"kind": "resnet50", "yields": "layers", "layers": 4},
        decoder={
            "kind": "gpt_prefix",
            "vocabulary": _RUGPT_WORDS,
            "pictures": [256, 512, 1024, 2048],
            "mapper": "layers",
            "positions": 2048,
            "train_gpt": True,
        },
        tokenizer={"kind": "gpt2"},
        special=_RUGPT,
        decoding={"strategy": "greedy", "max_tokens": 50},
        smoke_encoder=_SMALL_PICTURE,
        smoke_decoder={**_SMALL_GPT, "pictures": [256, 512, 1024, 2048]},
    ),
    Preset(
        "rudolph",
        encoder={"kind": "vqgan"},
        decoder={"kind": "rudolph", "vocabulary": 16448, "codes": 8192},
        tokenizer={"kind": "youtokentome"},
        special={"bos": 2, "eos": 3, "pad": 0, "forbidden": [0, 1, 2]},
        decoding={"strategy": "sample", "top_k": 64, "top_p": 0.8, "temperature": 0.9, "max_tokens": 64},
        note="128 pixels: no words of a meme survive that.",
        smoke_encoder={
            "channels": 32,
            "multipliers": [1, 1, 1],
            "blocks": 1,
            "depth": 16,
            "codes": 64,
            "preprocessing": {"size": 32, "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]},
        },
        smoke_decoder={
            "codes": 64,
            "side": 8,
            "left": 4,
            "width": 64,
            "layers": 4,
            "heads": 1,
            "dropout": 0.0,
        },
    ),
]
PRESETS: dict[str, Preset] = {preset.name: preset for preset in _ALL}


def preset(name: str) -> Preset:
    """The named system. Raises EngineError that lists the names there are."""
    if name not in PRESETS:
        raise EngineError(f"There is no preset named {name!r}: choose one of {', '.join(PRESETS)}.")
    return PRESETS[name]


def build(
    name: str,
    *,
    tokenizer: Tokenizer | None = None,
    words: WordsRead = "none",
    vectors: Path | None = None,
    smoke: bool = False,
    **decoder: Any,
) -> CaptionModel:
    """The named system with random weights, for the vocabulary of ``tokenizer`` where one is given.

    ``words``: how the words read on a picture are given to it: "none" as in the originals, or what
    :attr:`Preset.reads` says. ``vectors``: a file that its word vectors start from, which needs a tokenizer.
    ``smoke``: the same parts at a size that learns in seconds on a CPU. ``decoder``: settings to change.

    Raises EngineError for an unknown name, FileNotFoundError when the vectors are missing, ValueError when
    the words, the vectors or the settings are none for this system.
    """
    chosen = preset(name)
    if words not in {"none", chosen.reads}:
        raise ValueError(f"{name} takes the words read as {chosen.reads!r} or 'none', not as {words!r}.")
    seen = {**chosen.encoder, **(chosen.smoke_encoder if smoke else {})}
    spoken = {**chosen.decoder, **(chosen.smoke_decoder if smoke else {}), **decoder}
    special = SpecialTokens(**{**chosen.special, "forbidden": tuple(chosen.special.get("forbidden", ()))})
    if tokenizer is not None:
        # RuDOLPH keeps a padding word of its own for each place of the left text.
        spoken["vocabulary"] = len(tokenizer) + spoken.get("left", 64 if spoken["kind"] == "rudolph" else 0)
        special, spoken = _fitted(chosen, tokenizer, special, spoken)
    model = CaptionModel(build_encoder(seen), build_decoder(spoken), special, tokenizer, words=words)
    if vectors is not None:
        _start_from(model, vectors)
    return model


def _start_from(model: CaptionModel, path: Path) -> None:
    from inference.decoders.recurrent import RecurrentDecoder  # noqa: PLC0415 - only for vectors
    from inference.tokenizers.words import WordTokenizer  # noqa: PLC0415

    decoder, tokenizer = model.decoder, model.tokenizer
    if not isinstance(decoder, RecurrentDecoder) or not isinstance(tokenizer, WordTokenizer):
        raise ValueError(
            f"Word vectors ({path}) are for a recurrent decoder with a vocabulary of words: "
            "name another preset, or leave them out."
        )
    decoder.load_vectors(torch.from_numpy(read_vectors(path, tokenizer.words).matrix))


def make_tokenizer(
    name: str,
    captions: Sequence[str],
    readings: Sequence[Reading] | None = None,
    *,
    words: WordsRead = "none",
    folder: Path | None = None,
    slots: int = SLOTS,
) -> Tokenizer:
    """The tokenizer of a preset that is to be trained: words are counted in the captions, byte pairs come
    from the files in ``folder``.

    ``readings``: of the captions' pictures. What is quoted through one of the ``slots`` of ``words``
    needs no words of its own.

    Raises EngineError for an unknown name, FileNotFoundError when the files are missing, ValueError when they
    are none of such a tokenizer.
    """
    settings = dict(preset(name).tokenizer)
    kind = settings.pop("kind")
    if kind == "words":
        from inference.tokenizers.words import WordTokenizer  # noqa: PLC0415 - nltk only where words are cut

        if words == "slots":
            captions = slotted(captions, readings, slots)
            settings["slots"] = slots
        return WordTokenizer.from_captions(captions, **settings)
    if folder is None:
        raise FileNotFoundError(f"{name} needs the folder of a {kind} tokenizer: name the one it comes with.")
    return load_tokenizer(kind, folder)


def _fitted(
    chosen: Preset, tokenizer: Tokenizer, special: SpecialTokens, spoken: dict[str, Any]
) -> tuple[SpecialTokens, dict[str, Any]]:
    """The numbers that this tokenizer gives the tokens around a sentence."""
    bos = tokenizer.bos
    markers = chosen.tokenizer.get("markers")
    if markers:
        from inference.tokenizers.gpt2 import Gpt2Tokenizer  # noqa: PLC0415 - only for markers

        if not isinstance(tokenizer, Gpt2Tokenizer):
            raise ValueError(f"{chosen.name} needs a GPT-2 tokenizer, into which it puts its markers.")
        image, bos = tokenizer.add(*markers)
        spoken = {**spoken, "vocabulary": len(tokenizer), "image_token": image}
    return SpecialTokens(bos, tokenizer.eos, tokenizer.pad, special.forbidden), spoken
