"""The model that a config describes, before its first step."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import ByteLevelBPETokenizer

from inference.captioners.building import build, make_tokenizer
from inference.captioners.encoder_decoder.model import CaptionModel
from inference.captioners.encoder_decoder.settings import SpecialTokens
from inference.checkpoints.weight_files.state import ImportFailed, read_state
from inference.common.errors import UserError
from inference.common.interpreter import PYTHON
from inference.common.types import EngineError
from inference.decoders.base import CaptionDecoder, build_decoder
from inference.encoders.base import Memory
from inference.importers.rudolph import import_rudolph
from inference.presets.preset import Preset
from inference.reading.reading import Reading
from inference.tokenizers.base import Tokenizer
from inference.tokenizers.gpt2 import Gpt2Tokenizer
from inference.tokenizers.words_read import WordsRead
from train_scripts.training.config import RANDOM, TrainConfig, models_dir
from train_scripts.training.encoder_weights import load_encoder

__all__ = ["build_model", "learned_bpe", "start_from_checkpoint"]

_GPT_SPECIALS = ["<pad>", "<s>", "</s>", "<unk>"]


def build_model(
    config: TrainConfig,
    texts: Sequence[str],
    readings: Sequence[Reading] | None,
    pictures: Sequence[Path],
) -> tuple[CaptionModel, list[str]]:
    """The preset with its tokenizer, encoder weights, language model and word vectors; and what a person
    should know about them, one sentence each.

    `texts`: the captions of all stages, with the `readings` of their pictures. `pictures`: some that stand
    for all.

    Raises UserError, one sentence, for whatever is missing or does not fit.
    """
    torch.manual_seed(config.seed)
    chosen = config.system
    _must_be_here(config)
    try:
        words: WordsRead = config.words or "none"
        tokenizer = _tokenizer(config, chosen, texts, readings, words)
        model, notes = _assembled(config, chosen, tokenizer, words)
        _must_fit(model)
        notes += load_encoder(model.encoder, config.encoder.weights, pictures)
    except UserError:
        raise
    except (EngineError, FileNotFoundError, ImportFailed, ValueError, TypeError) as error:
        raise UserError(str(error).rstrip(".") + ".") from error
    return model, notes


def _must_be_here(config: TrainConfig) -> None:
    """Raises UserError where what the preset starts from was not fetched yet."""
    for key, usual in config.fetched().items():
        path = models_dir() / usual
        if not path.exists():
            others = "another" if key == "tokenizer" else f"others, or to {RANDOM!r}"
            raise UserError(
                f"{config.system.name} starts from {path}, which is missing: fetch it with '{PYTHON} -m "
                f"inference pull {Path(usual).parts[0]}', or set {key} to {others}."
            )


def start_from_checkpoint(folder: Path) -> CaptionModel:
    """A trained model to go on with. Raises UserError."""
    try:
        return CaptionModel.load(folder)
    except EngineError as error:
        raise UserError(str(error)) from error


def _tokenizer(
    config: TrainConfig,
    chosen: Preset,
    texts: Sequence[str],
    readings: Sequence[Reading] | None,
    words: WordsRead,
) -> Tokenizer:
    files = Path(config.tokenizer) if config.tokenizer else None
    if files is None and chosen.tokenizer.kind != "words" and config.language_model is not None:
        if config.language_model != RANDOM:
            files = Path(config.language_model)
        elif chosen.tokenizer.kind == "gpt2":
            return learned_bpe(texts, 50_257)
    counted = config.vocabulary.model_dump(exclude_none=True)
    return make_tokenizer(chosen, texts, readings, words=words, files=files, **counted)


def learned_bpe(texts: Sequence[str], vocabulary: int) -> Gpt2Tokenizer:
    """At most ``vocabulary`` byte pairs of the captions themselves, for a language model that knows no
    others."""
    learned = ByteLevelBPETokenizer(add_prefix_space=False)
    learned.train_from_iterator(
        texts, vocab_size=vocabulary, min_frequency=2, special_tokens=_GPT_SPECIALS, show_progress=False
    )
    return Gpt2Tokenizer(learned._tokenizer)  # the wrapper has no public way to what it wraps


def _assembled(
    config: TrainConfig, chosen: Preset, tokenizer: Tokenizer, words: WordsRead
) -> tuple[CaptionModel, list[str]]:
    kind = chosen.decoder.kind
    vectors, notes = _vectors(config, chosen)
    if kind == "gpt_prefix":
        if config.language_model is None:
            raise UserError(
                f"{chosen.name} needs a language model: set language_model to its Hugging Face folder, or to "
                "'random' to train one from nothing."
            )
        frozen = not chosen.decoder.settings.get("train_gpt")
        if config.language_model == RANDOM and frozen and "train_gpt" not in config.decoder:
            chosen = chosen.changed(decoder={"train_gpt": True})
            notes.append("The language model is random, so it is trained too: frozen it could not speak.")
    model = build(chosen, tokenizer=tokenizer, words=words, vectors=vectors)
    if kind == "rudolph":
        model, extra = _with_rudolph(model, config, chosen)
        notes += extra
    elif kind == "gpt_prefix" and config.language_model == RANDOM:
        # As many words as the published model has, so that it is of the same size.
        model = _widened(model, chosen.tokenizer.vocabulary)
    elif kind == "gpt_prefix":
        model = _with_language_model(model, Path(str(config.language_model)))
    elif config.language_model is not None:
        raise UserError(f"{chosen.name} has no language model: leave language_model out.")
    return model, notes


def _must_fit(model: CaptionModel) -> None:
    """Raises UserError when the decoder cannot take what the encoder yields."""
    encoder, decoder = model.encoder, model.decoder
    if encoder.yields == "codes":  # of RuDOLPH alone, with one encoder
        return
    rows = [torch.zeros(1, width) for width in encoder.widths]
    grid = torch.zeros(1, encoder.positions, encoder.widths[0])
    memory: Memory = (
        tuple(rows) if encoder.yields == "layers" else grid if encoder.yields == "grid" else rows[0]
    )
    decoder.eval()
    try:
        with torch.no_grad():
            decoder.start(memory)
    except (RuntimeError, TypeError, ValueError) as error:
        why = str(error).splitlines()[0].rstrip(".")
        raise UserError(
            f"The decoder cannot take what the encoder yields, {encoder.yields!r} of the width "
            f"{', '.join(map(str, encoder.widths))} ({why}): change decoder or encoder.settings, for example "
            f"decoder.picture to {encoder.widths[-1]}."
        ) from error
    finally:
        decoder.train()


def _vectors(config: TrainConfig, chosen: Preset) -> tuple[Path | None, list[str]]:
    """The file of word vectors, and what to know where there could be one."""
    if config.vectors is None:
        return None, []
    if config.vectors == RANDOM:
        usual = chosen.decoder.vectors
        return None, [f"The words' vectors are random, not those of {Path(usual).parts[0]}."] if usual else []
    return Path(config.vectors), []


def _replaced(
    model: CaptionModel, decoder: CaptionDecoder, special: SpecialTokens | None = None
) -> CaptionModel:
    return CaptionModel(model.encoder, decoder, special or model.special, model.tokenizer, words=model.words)


def _widened(model: CaptionModel, vocabulary: int) -> CaptionModel:
    """The same for more words than the tokenizer has."""
    if vocabulary <= model.decoder.vocabulary:
        return model
    return _replaced(model, build_decoder({**model.decoder.settings, "vocabulary": vocabulary}))


def _with_language_model(model: CaptionModel, path: Path) -> CaptionModel:
    """The weights of a GPT-2 in a Hugging Face folder, or in one file."""
    if path.is_dir():
        names = ("model.safetensors", "pytorch_model.bin")
        found = next((path / name for name in names if (path / name).is_file()), None)
        if found is None:
            raise UserError(f"{path} holds no language model: it needs {' or '.join(names)}.")
        path = found
    # The published GPT-2 lacks the prefix; older files carry the masks of their attention.
    state = {
        key if key.startswith(("transformer.", "lm_head.")) else f"transformer.{key}": value
        for key, value in read_state(path).items()
        if not key.endswith((".attn.bias", ".attn.masked_bias"))
    }
    if "transformer.wte.weight" not in state:
        raise UserError(f"{path} is no GPT-2: it has no table of word vectors (wte.weight).")
    model = _widened(model, len(state["transformer.wte.weight"]))
    gpt: Any = model.decoder.get_submodule("gpt")
    own = gpt.transformer.wte.weight.detach().clone()
    known = state["transformer.wte.weight"]
    if len(known) < len(own) and known.shape[1] == own.shape[1]:  # the markers are new words
        known = torch.cat([known, own[len(known) :]])
    state |= {"transformer.wte.weight": known, "lm_head.weight": known}
    try:
        gpt.load_state_dict(state)
    except RuntimeError as error:
        first = str(error).splitlines()[1].strip().rstrip(".") if "\n" in str(error) else str(error)
        raise UserError(
            f"{path} is a language model of other sizes than {model.decoder.settings['width']} x "
            f"{model.decoder.settings['layers']} layers ({first}): set its sizes under decoder."
        ) from error
    return model


def _with_rudolph(model: CaptionModel, config: TrainConfig, chosen: Preset) -> tuple[CaptionModel, list[str]]:
    if config.language_model is None:
        raise UserError(
            f"{chosen.name} needs its own weights: set language_model to the RuDOLPH file, or to 'random' to "
            "train it from nothing."
        )
    if config.language_model == RANDOM:
        # Its middle is frozen because it was trained before; a random one could not learn.
        settings = {**model.decoder.settings, "train_attention": True, "train_mlp": True}
        return _replaced(model, build_decoder({**settings, **config.decoder})), [
            "RuDOLPH is random, so all of it is trained."
        ]
    decoder, special = import_rudolph(Path(config.language_model))
    if config.decoder:
        changed = build_decoder({**decoder.settings, **config.decoder})
        changed.load_state_dict(decoder.state_dict())
        return _replaced(model, changed, special), []
    return _replaced(model, decoder, special), []
