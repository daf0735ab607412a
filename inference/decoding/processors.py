"""What changes a decoder's logits before a token is chosen: what may not be said, or not again."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from inference.common.types import DecodingOptions
from inference.decoding.decoder import Logits, Tokens

LogitsProcessor: TypeAlias = Callable[[Tokens, Logits], Logits]
"""``(tokens, logits) -> logits``: the tokens generated so far (r, t), int64, without the start token (after
the end token a row holds padding), and the next token's logits (r, V), float32, which are never written to:
they may be the decoder's own. V may exceed the vocabulary: pointer decoders append positions of what they may
copy."""

NEVER = np.float32(-np.inf)  # the logit of what may not be said


def among(tokens: Tokens, ids: Collection[int]) -> NDArray[np.bool_]:
    """Which of a few ``tokens`` (m,) are among the ``ids``, a set where they are many: of five tokens numpy's
    own way takes 17 us with four ids and 43 us with 700, this one 1 us."""
    return np.array([token in ids for token in tokens.tolist()], np.bool_)


@dataclass(frozen=True, slots=True)
class MinTokens:
    """Forbids the end tokens until ``count`` tokens stand before them."""

    count: int
    ends: tuple[int, ...]

    def __call__(self, tokens: Tokens, logits: Logits) -> Logits:
        if tokens.shape[1] >= self.count:
            return logits
        return Forbid(self.ends)(tokens, logits)


@dataclass(frozen=True, slots=True)
class Forbid:
    """Never says these tokens: their probability is spread over the others."""

    ids: tuple[int, ...]

    def __call__(self, tokens: Tokens, logits: Logits) -> Logits:  # noqa: ARG002 - the hook's signature
        left = logits.copy()
        left[:, self.ids] = NEVER
        return left


@dataclass(frozen=True, slots=True)
class ForbidByPicture:
    """Never says these tokens of a picture; each of the n pictures lacks its own."""

    lacking: NDArray[np.bool_]  # (n, V)

    def __call__(self, tokens: Tokens, logits: Logits) -> Logits:  # noqa: ARG002 - the hook's signature
        rows = self.lacking.repeat(len(logits) // len(self.lacking), 0)
        return np.where(rows, NEVER, logits)


@dataclass(frozen=True, slots=True)
class QuoteLines:
    """Quotations hold what was read and nothing else: between ``opens`` and ``closes`` only the ``lines`` of
    the picture are said, nowhere else, and each once; where none is left, no quotation is opened."""

    opens: int
    closes: int
    lines: tuple[int, ...]  # the tokens that stand for lines, of all pictures

    def __call__(self, tokens: Tokens, logits: Logits) -> Logits:
        lines = np.array(self.lines)
        inside = (tokens == self.opens).sum(1) > (tokens == self.closes).sum(1)
        said = (tokens[:, :, None] == lines).any(1)  # (r, lines)
        quoted = np.where(said | ~inside[:, None], NEVER, logits[:, lines])
        just_opened = inside & (tokens[:, -1:] == self.opens).any(1)
        closing = np.where(inside & ~just_opened, logits[:, self.closes], NEVER)
        left = (~said & (logits[:, lines] > NEVER)).any(1)
        opening = np.where(left & ~inside, logits[:, self.opens], NEVER)
        allowed = np.where(inside[:, None], NEVER, logits)
        allowed[:, lines], allowed[:, self.closes], allowed[:, self.opens] = quoted, closing, opening
        return allowed


@dataclass(frozen=True, slots=True)
class WellFormed:
    """What every sentence keeps to: a mark follows a word or a quotation, and one after which a sentence goes
    on (a comma) stands neither before another mark nor at an end; a quotation between ``opens`` and
    ``closes`` is not empty, and closed before the next one or a sentence's end."""

    opens: int
    closes: int
    goes_on: tuple[int, ...]  # the marks after which something follows
    ends: tuple[int, ...]  # the others
    stops: tuple[int, ...]  # the tokens that end a sentence

    def __call__(self, tokens: Tokens, logits: Logits) -> Logits:
        last = tokens[:, -1] if tokens.shape[1] else np.full(len(tokens), self.opens)
        marks = (*self.goes_on, *self.ends)
        unclosed = (tokens == self.opens).sum(1) > (tokens == self.closes).sum(1)
        opened, going_on = last == self.opens, among(last, self.goes_on)
        left = logits.copy()
        left[np.ix_(opened | among(last, marks), marks)] = NEVER
        left[opened | going_on | ~unclosed, self.closes] = NEVER
        left[np.ix_(unclosed, [self.opens, *self.ends])] = NEVER
        left[np.ix_(going_on | unclosed, self.stops)] = NEVER
        return left


@dataclass(frozen=True, slots=True)
class NoStammer:
    """No token follows itself, but those ``within`` words: a word may begin as the one before it does."""

    within: frozenset[int] = frozenset()

    def __call__(self, tokens: Tokens, logits: Logits) -> Logits:
        if not tokens.shape[1]:
            return logits
        last = tokens[:, -1]
        rows = np.flatnonzero(~among(last, self.within))
        left = logits.copy()
        left[rows, last[rows]] = NEVER
        return left


@dataclass(frozen=True, slots=True)
class RepetitionPenalty:
    """Lowers what was said already: positive logits are divided by ``penalty``, negative ones multiplied.

    Keskar et al. 2019, CTRL, section 4.1. A penalty below 1 rewards repetition.
    """

    penalty: float

    def __call__(self, tokens: Tokens, logits: Logits) -> Logits:
        said = np.take_along_axis(logits, tokens, 1)
        lowered = logits.copy()
        np.put_along_axis(lowered, tokens, np.where(said > 0, said / self.penalty, said * self.penalty), 1)
        return lowered


@dataclass(frozen=True, slots=True)
class NoRepeatNgram:
    """Forbids any token that would complete an n-gram of ``size`` tokens which the row already holds.

    Paulus et al. 2017, section 2.5 (there for trigrams). The tokens ``within`` are left: pieces that go on
    with a word, which would be cut off where it is not new.
    """

    size: int
    within: frozenset[int] = frozenset()

    def __call__(self, tokens: Tokens, logits: Logits) -> Logits:
        said = tokens.shape[1]
        if said < self.size:
            return logits
        grams = sliding_window_view(tokens, self.size, 1)  # (r, t - size + 1, size)
        current = tokens[:, None, said - self.size + 1 :]  # (r, 1, size - 1)
        row, place = (grams[:, :, :-1] == current).all(-1).nonzero()
        if not len(row):
            return logits
        again = grams[row, place, -1]
        begins = ~among(again, self.within)
        left = logits.copy()
        left[row[begins], again[begins]] = NEVER
        return left


def processed(processors: Sequence[LogitsProcessor], tokens: Tokens, logits: Logits, end: int) -> Logits:
    """The logits (r, V) behind all processors in turn, see :data:`LogitsProcessor`. Where they left nothing
    to say, the sentence ends: by the token ``end``."""
    for process in processors:
        logits = process(tokens, logits)
    stuck = logits.max(-1) == NEVER
    if stuck.any():
        logits = logits.copy()
        logits[stuck, end] = 0
    return logits


def added_to(
    processors: Sequence[LogitsProcessor],
    sentences: Sequence[Sequence[int]],
    vocabulary: int,
    *,
    pad: int,
    end: int,
) -> Logits:
    """What :func:`processed` adds to the logits of every token of n sentences, the longest of T tokens, when
    a search says them: (n, T, V), at place t behind the first t tokens. What stands behind a sentence's end
    means nothing.

    Only of processors that add the same to whatever logits, or forbid: not of :class:`RepetitionPenalty`.
    """
    tokens = np.full((len(sentences), max(map(len, sentences), default=0)), pad, np.int64)
    for row, sentence in zip(tokens, sentences, strict=True):
        row[: len(sentence)] = sentence
    found = np.zeros((*tokens.shape, vocabulary), np.float32)
    for place in range(tokens.shape[1]):
        found[:, place] = processed(processors, tokens[:, :place], found[:, place], end)
    return found


def asked_for(
    options: DecodingOptions, ends: tuple[int, ...], within: frozenset[int] = frozenset()
) -> list[LogitsProcessor]:
    """The processors that the options ask for, in their order; ``ends``: the end tokens; ``within``: those
    that go on with words."""
    processors: list[LogitsProcessor] = []
    if options.repetition_penalty != 1:
        processors.append(RepetitionPenalty(options.repetition_penalty))
    if options.no_repeat_ngram:
        processors.append(NoRepeatNgram(options.no_repeat_ngram, within))
    if options.min_tokens:
        processors.append(MinTokens(options.min_tokens, ends))
    return processors
