"""A preset as a model of random weights, and the tokenizer that it is trained with."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from inference.captioners.encoder_decoder.model import CaptionModel
from inference.captioners.encoder_decoder.settings import SpecialTokens
from inference.decoders.base import build_decoder, vocabulary_for
from inference.encoders.base import build_encoder
from inference.presets.preset import Preset
from inference.reading.reading import Reading
from inference.tokenizers.base import Tokenizer, load_tokenizer, other_marks_of
from inference.tokenizers.vectors import read_vectors
from inference.tokenizers.words_read import SLOTS, WordsRead, slotted


def build(
    chosen: Preset,
    *,
    tokenizer: Tokenizer | None = None,
    words: WordsRead = "none",
    vectors: Path | None = None,
) -> CaptionModel:
    """The system with random weights, for the vocabulary of ``tokenizer`` where one is given.

    ``words``: how the words read on a picture are given to it: "none" as in the originals, or what
    :attr:`Preset.reads` says. ``vectors``: a file that its word vectors start from, which needs a tokenizer.

    Raises FileNotFoundError when the vectors are missing, ValueError when the words, the vectors or the
    settings are none for this system.
    """
    if words not in {"none", chosen.reads}:
        raise ValueError(
            f"{chosen.name} takes the words read as {chosen.reads!r} or 'none', not as {words!r}."
        )
    special, config = _speaking(chosen, tokenizer)
    # In this order: a seed gives the encoder its numbers first.
    encoder, decoder = build_encoder(chosen.encoder_config()), build_decoder(config)
    model = CaptionModel(encoder, decoder, special, tokenizer, words=words)
    if vectors is not None:
        _start_from(model, vectors)
    return model


def _speaking(chosen: Preset, tokenizer: Tokenizer | None) -> tuple[SpecialTokens, dict[str, Any]]:
    """The numbers of the tokens around a sentence, and the decoder's config for so many tokens."""
    published, config = chosen.tokenizer.special, chosen.decoder_config()
    special = SpecialTokens(published.bos, published.eos, published.pad, published.forbidden)
    tokens = chosen.tokenizer.vocabulary
    if tokenizer is not None:
        bos = tokenizer.bos
        if chosen.tokenizer.markers is not None:
            from inference.tokenizers.gpt2 import Gpt2Tokenizer  # noqa: PLC0415 - only for markers

            if not isinstance(tokenizer, Gpt2Tokenizer):
                raise ValueError(f"{chosen.name} needs a GPT-2 tokenizer, into which it puts its markers.")
            config["image_token"], bos = tokenizer.add(*chosen.tokenizer.markers)
        forbidden = (*published.forbidden, *other_marks_of(tokenizer))
        special = SpecialTokens(bos, tokenizer.eos, tokenizer.pad, forbidden)
        tokens = len(tokenizer)
    return special, {**config, "vocabulary": vocabulary_for(config, tokens)}


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
    chosen: Preset,
    captions: Sequence[str],
    readings: Sequence[Reading] | None = None,
    *,
    words: WordsRead = "none",
    files: Path | None = None,
    slots: int = SLOTS,
    **settings: Any,
) -> Tokenizer:
    """The tokenizer of a system that is to be trained: that of ``files`` (a folder, or a file in it), or one
    whose words are counted in the captions.

    ``readings``: of the captions' pictures. What is quoted through one of the ``slots`` of ``words`` needs no
    words of its own. ``settings``: changes of how the preset counts words.

    Raises FileNotFoundError when the files are missing, ValueError when they are none of such a tokenizer.
    """
    kind = chosen.tokenizer.kind
    if files is not None and not (kind == "words" and files.is_file()):
        return load_tokenizer(kind, files if files.is_dir() else files.parent)
    if kind != "words":
        raise FileNotFoundError(
            f"{chosen.name} needs the folder of a {kind} tokenizer: name the one it comes with."
        )
    from inference.tokenizers.words import WordTokenizer  # noqa: PLC0415 - nltk only where words are cut

    if files is not None:
        return WordTokenizer.read(files)
    settings = {**chosen.tokenizer.settings, **settings}
    if words == "slots":
        captions = slotted(captions, readings, slots)
        settings["slots"] = slots
    return WordTokenizer.from_captions(captions, **settings)
