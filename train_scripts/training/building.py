"""The model that a config describes, before its first step."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
import torchvision
from tokenizers import ByteLevelBPETokenizer
from torch import nn
from torchvision.models.resnet import BasicBlock, Bottleneck

from inference.captioners.encoder_decoder import CaptionModel, SpecialTokens
from inference.captioners.presets import Preset, build, make_tokenizer, preset
from inference.checkpoints.weight_files.state import ImportFailed, read_state
from inference.common.errors import UserError
from inference.common.types import EngineError
from inference.decoders.base import CaptionDecoder, build_decoder
from inference.encoders.base import Encoder, Memory, build_encoder
from inference.encoders.cnn import (
    ConvolutionalEncoder,
    FeaturePyramidEncoder,
    load_torchvision,
    torchvision_file,
)
from inference.encoders.ruclip import RuClipEncoder
from inference.encoders.ruclip_files import import_ruclip
from inference.encoders.vqgan import VqganEncoder
from inference.importers.rudolph import import_rudolph, import_vqgan
from inference.reading.reading import Reading
from inference.tokenizers.base import Tokenizer, load_tokenizer
from inference.tokenizers.gpt2 import Gpt2Tokenizer
from inference.tokenizers.words import WordTokenizer
from inference.tokenizers.words_read import SLOTS, WordsRead, slotted
from train_scripts.pictures import UnreadablePicturesError, open_picture
from train_scripts.training.config import RANDOM, TrainConfig
from train_scripts.training.seeing import GROUP

__all__ = ["build_model", "start_from_checkpoint"]

_CALIBRATION = 32  # pictures
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
    chosen = preset(config.preset)
    try:
        words: WordsRead = config.words or "none"
        tokenizer = _tokenizer(config, chosen, texts, readings, words)
        model, notes = _assembled(config, chosen, tokenizer, words)
        _must_fit(model)
        notes += _see(model.encoder, config, pictures)
    except UserError:
        raise
    except (EngineError, FileNotFoundError, ImportFailed, ValueError, TypeError) as error:
        raise UserError(str(error).rstrip(".") + ".") from error
    return model, notes


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
    settings = dict(chosen.tokenizer)
    kind = settings.pop("kind")
    folder = Path(config.tokenizer) if config.tokenizer else None
    if kind == "words":
        if folder is not None:
            return WordTokenizer.read(folder) if folder.is_file() else WordTokenizer.load(folder)
        settings |= config.vocabulary.model_dump(exclude_none=True)
        if words == "slots":
            texts = slotted(texts, readings, SLOTS)
            settings["slots"] = SLOTS
        return WordTokenizer.from_captions(texts, **settings)
    if folder is None and config.language_model not in {None, RANDOM}:
        model = Path(str(config.language_model))
        folder = model if model.is_dir() else model.parent
    if folder is not None:
        return load_tokenizer(kind, folder if folder.is_dir() else folder.parent)
    if kind == "gpt2" and config.language_model == RANDOM:
        return _learned_bpe(texts)
    return make_tokenizer(config.preset, texts, readings, words=words)  # says what is missing


def _learned_bpe(texts: Sequence[str]) -> Gpt2Tokenizer:
    """Byte pairs of the captions themselves, for a language model that knows no others."""
    learned = ByteLevelBPETokenizer(add_prefix_space=False)
    learned.train_from_iterator(
        texts, vocab_size=50_257, min_frequency=2, special_tokens=_GPT_SPECIALS, show_progress=False
    )
    return Gpt2Tokenizer(learned._tokenizer)  # the wrapper has no public way to what it wraps


def _assembled(
    config: TrainConfig, chosen: Preset, tokenizer: Tokenizer, words: WordsRead
) -> tuple[CaptionModel, list[str]]:
    kind = chosen.decoder["kind"]
    changes = dict(config.decoder)
    vectors, notes = _vectors(config, chosen)
    if kind == "gpt_prefix":
        if config.language_model is None:
            raise UserError(
                f"{chosen.name} needs a language model: set language_model to its Hugging Face folder, or to "
                "'random' to train one from nothing."
            )
        if config.language_model == RANDOM and not chosen.decoder.get("train_gpt"):
            changes.setdefault("train_gpt", True)
            if changes["train_gpt"]:
                notes.append("The language model is random, so it is trained too: frozen it could not speak.")
    model = build(
        chosen.name, tokenizer=tokenizer, words=words, vectors=vectors, smoke=config.smoke, **changes
    )
    if config.encoder.settings:
        model.encoder = build_encoder({**model.encoder.settings, **config.encoder.settings})
    if kind == "rudolph":
        model, extra = _with_rudolph(model, config, chosen)
        notes += extra
    elif kind == "gpt_prefix" and config.language_model == RANDOM:
        if not config.smoke:  # as many words as the published model has, so that it is of the same size
            model = _widened(model, int(chosen.decoder["vocabulary"]))
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
    """The file of word vectors, and what to know where there is none."""
    if config.vectors is None:
        if chosen.vectors and not config.smoke:
            raise UserError(
                f"{chosen.name} begins with the word vectors {chosen.vectors}: set vectors to their file, or "
                "to 'random' to do without."
            )
        return None, []
    if config.vectors == RANDOM:
        return None, [f"The words' vectors are random, not {chosen.vectors}."] if chosen.vectors else []
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


def _see(encoder: Encoder, config: TrainConfig, pictures: Sequence[Path]) -> list[str]:
    """Fills the encoder as `encoder.weights` says."""
    weights = config.encoder.weights
    if weights == RANDOM:
        encoder.settings |= {"weights": None} if "weights" in encoder.settings else {}
        _calibrate(encoder, pictures)
        return ["The encoder's weights are random: it tells pictures apart, but knows nothing of them."]
    path = Path(weights)
    if isinstance(encoder, ConvolutionalEncoder | FeaturePyramidEncoder):
        name = encoder.plan.model if isinstance(encoder, ConvolutionalEncoder) else "fasterrcnn_resnet50_fpn"
        if weights in torchvision.models.get_model_weights(name).__members__:
            encoder.weights = weights
            encoder.settings["weights"] = weights
            path = _torchvision_path(encoder)
        elif not path.exists():
            known = ", ".join(torchvision.models.get_model_weights(name).__members__)
            raise UserError(
                f"encoder.weights is {weights!r}, which is neither a file nor weights of {name} "
                f"({known}) nor "
                "'random': choose one of these."
            )
        load_torchvision(encoder, path)
        return []
    if isinstance(encoder, RuClipEncoder):
        encoder.visual.load_state_dict(import_ruclip(path).model.visual.state_dict())
        return []
    if isinstance(encoder, VqganEncoder):
        encoder.load_state_dict(import_vqgan(path).state_dict())
        return []
    raise UserError(f"The weights of a {type(encoder).__name__} cannot be loaded: set them to 'random'.")


def _torchvision_path(encoder: ConvolutionalEncoder | FeaturePyramidEncoder) -> Path:
    named = torchvision_file(encoder)
    if named is None:
        raise UserError("The encoder names no weights: set encoder.weights.")
    folders = [*Path(os.environ.get("MODELS_DIR", "checkpoints")).glob("*/")]
    for folder in (*folders, Path(torch.hub.get_dir()) / "checkpoints"):
        if (folder / named[0]).is_file():
            return folder / named[0]
    kind = encoder.settings["kind"]
    raise UserError(
        f"The weights {encoder.weights} ({named[0]}) are not here: fetch them with 'python -m inference pull "
        f"{kind}', or set encoder.weights to their file, or to 'random' on a machine without internet."
    )


def _calibrate(encoder: Encoder, pictures: Sequence[Path]) -> None:
    """Gives a network of random weights activations like a trained one's (data-dependent initialisation,
    Mishkin & Matas 2016).

    Without it they grow from layer to layer until all pictures look alike. What a residual block adds is made
    small, and the statistics of each BatchNorm are those of some pictures.
    """
    for module in encoder.modules():
        if isinstance(module, BasicBlock | Bottleneck):
            last = module.bn3 if isinstance(module, Bottleneck) else module.bn2
            nn.init.constant_(last.weight, 0.1)
    norms = [module for module in encoder.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    if not norms or encoder.yields == "codes":
        return
    images = []
    for path in pictures[:_CALIBRATION]:
        with suppress(UnreadablePicturesError):  # the run tells of all of them before its first step
            images.append(open_picture(path))
    if not images:
        return
    pixels = torch.cat([encoder.preprocessing(images[i : i + GROUP]) for i in range(0, len(images), GROUP)])
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
        norm.train()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # the same sums in the same order, whatever the machine
    try:
        with torch.no_grad():
            encoder(pixels)
    finally:
        torch.set_num_threads(threads)
        for norm in norms:
            norm.momentum = 0.1
        encoder.eval()
