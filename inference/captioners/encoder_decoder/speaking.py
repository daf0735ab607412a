"""What an encoder-decoder says, whatever runs its parts: the words read before a sentence, and its tokens as
people read them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from inference.captioners.encoder_decoder.detectors import Array, WordDetectors
from inference.captioners.encoder_decoder.settings import SpecialTokens
from inference.common.types import DecodingOptions
from inference.decoding.decoder import Decoder
from inference.decoding.processors import (
    Forbid,
    ForbidByPicture,
    LogitsProcessor,
    NoStammer,
    QuoteLines,
    WellFormed,
)
from inference.decoding.search import Generated, generate
from inference.reading.lines import TextLine
from inference.reading.reading import Reading
from inference.russian.leads import signed_in
from inference.russian.sentences import capitalised
from inference.tokenizers.base import Tokenizer, marks_of, rest_marks_of, slots_of
from inference.tokenizers.words_read import (
    AFTER,
    BEFORE,
    NOTHING,
    WordsRead,
    author_behind,
    from_slots,
    text_read,
)

Lines = Sequence[Sequence[TextLine]]  # those of each picture


def lines_of(readings: Sequence[Reading] | None, count: int) -> list[tuple[TextLine, ...]]:
    """The lines of each of ``count`` pictures; None: nothing was read on any."""
    return [()] * count if readings is None else [reading.lines for reading in readings]


@dataclass(frozen=True, slots=True)
class Speaker:
    """``words``: how the words read on a picture reach the decoder, see
    :mod:`inference.tokenizers.words_read`; of a "prompt" at most ``prompt_tokens`` tokens are theirs.
    ``tokenizer`` may be None while only tokens matter: what needs it raises ValueError. ``detectors``: what
    tells the words that a picture shows; None: nothing does.
    """

    tokenizer: Tokenizer | None
    special: SpecialTokens
    words: WordsRead
    prompt_tokens: int
    detectors: WordDetectors | None = None

    def cutter(self) -> Tokenizer:
        """The tokenizer. Raises ValueError when there is none."""
        if self.tokenizer is None:
            raise ValueError("This model has no tokenizer: load it from a whole checkpoint.")
        return self.tokenizer

    def texts_read(self, lines: Lines) -> list[list[int]]:
        """The words read on each picture as tokens."""
        tokenizer = self.cutter()
        return [tokenizer.encode(text_read(own))[: self.prompt_tokens] for own in lines]

    def prompts(self, lines: Lines) -> list[list[int]]:
        """For each picture the tokens between its start token and its sentence."""
        if self.words == "none":
            return [[] for _ in lines]
        tokenizer = self.cutter()
        if self.words == "slots":
            slots = slots_of(tokenizer)
            # The start token again: here the slots end and the sentence begins.
            return [[*slots[: len(own)], self.special.bos] for own in lines]
        before, after, nothing = (tokenizer.encode(part) for part in (BEFORE, AFTER, NOTHING))
        return [[*before, *text, *after] if text else nothing for text in self.texts_read(lines)]

    def generate(
        self,
        decoder: Decoder,
        vocabulary: int,
        memory: Any,
        options: DecodingOptions,
        lines: Lines,
        *,
        vectors: Array | None,
        prompted: bool = True,
        read: bool = True,
        leading: Sequence[LogitsProcessor] | None = None,
        **extra: Any,
    ) -> Generated:
        """Tokens for each picture of ``memory``, on which ``lines`` were read.

        ``vocabulary``: how many logits the decoder gives; ``vectors`` (n, d): what the encoder yields,
        which only detectors look at; ``prompted``: False where the words read are in
        ``memory`` already; ``read``: False where nobody looked for words, so that quotations are not held
        to any; ``leading``: in the place of what :meth:`leading` gives; ``extra`` goes to
        :func:`inference.decoding.search.generate`.
        """
        special, processors = self.special, [*extra.pop("processors", ())]
        processors += self.leading(vectors) if leading is None else leading
        processors += self.rules(vocabulary, lines, read=read)
        if self.words != "none" and prompted:
            extra["prompts"] = self.prompts(lines)
        return generate(
            decoder,
            memory,
            options,
            bos=special.bos,
            eos=special.eos,
            pad=special.pad,
            ends=special.ends,
            processors=processors,
            within=self._joining,
            **extra,
        )

    def leading(self, vectors: Array | None) -> list[LogitsProcessor]:
        """What detectors make of what the encoder yields for n pictures, (n, d); [] where there are none."""
        if self.detectors is None:
            return []
        if vectors is None:
            raise ValueError("Detectors look at what the encoder yields: give its vectors.")
        return [self.detectors.processor(vectors, marks_of(self.cutter()))]

    def rules(self, vocabulary: int, lines: Lines, *, read: bool) -> list[LogitsProcessor]:
        """What may be said of pictures on which ``lines`` were read; the arguments as of :meth:`generate`."""
        processors: list[LogitsProcessor] = []
        if self.special.forbidden:
            processors.append(Forbid(self.special.forbidden))
        if self.words == "slots":
            lacking = np.zeros((len(lines), vocabulary), np.bool_)
            for row, own in zip(lacking, lines, strict=True):
                row[slots_of(self.cutter())[len(own) :]] = True
            processors.append(ForbidByPicture(lacking))
            marks, (goes_on, ends) = marks_of(self.cutter()), rest_marks_of(self.cutter())
            if marks is not None and goes_on:
                stops = (self.special.eos, self.special.pad)
                processors += [WellFormed(*marks, goes_on, ends, stops), NoStammer()]
            elif self.detectors is not None and self._joining:  # which keep words of pieces from it
                processors.append(NoStammer(self.detectors.words_parts))
            if read and marks is not None:
                processors.append(QuoteLines(*marks, tuple(slots_of(self.cutter()))))
        return processors

    @property
    def _joining(self) -> frozenset[int]:
        """The tokens that go on with a word, as far as it is known."""
        return frozenset() if self.detectors is None else frozenset(self.detectors.words.joining)

    def sentences(
        self, generated: Generated, readings: Sequence[Reading] | None
    ) -> tuple[list[str], list[float]]:
        """The tokens as people read them, and the mean log-probability of those of each sentence."""
        tokenizer = self.cutter()
        # An end that is a word (a full stop, as in the English ClipCap) belongs to the sentence.
        ends = [[self.special.eos] if done else [] for done in generated.finished]
        whole = [
            said if done else self._sentences_of(said)
            for said, done in zip(generated.tokens, generated.finished, strict=True)
        ]
        decoded = [tokenizer.decode([*said, *end]) for said, end in zip(whole, ends, strict=True)]
        texts = [*map(capitalised, decoded)]  # most vocabularies are in small letters
        if self.words == "slots":
            lines = lines_of(readings, len(texts))
            # An account is no word that a decoder could know: it says the one that it learnt most often.
            texts = [
                signed_in(text, partial(author_behind, own)) for text, own in zip(texts, lines, strict=True)
            ]
            if readings is not None:
                texts = [from_slots(text, own) for text, own in zip(texts, lines, strict=True)]
        lengths = [
            max(len(tokens) + done, 1)
            for tokens, done in zip(generated.tokens, generated.finished, strict=True)
        ]
        return texts, [total / n for total, n in zip(generated.logprobs, lengths, strict=True)]

    def _sentences_of(self, said: Sequence[int]) -> Sequence[int]:
        """What was cut short without the sentence that it was cut in, where it has others."""
        _, ends = rest_marks_of(self.cutter())
        if self.words != "slots" or not any(token in ends for token in said):
            return said
        return said[: max(place for place, token in enumerate(said) if token in ends) + 1]
