"""What the decoder may write: logits processors that forbid the rest, and what they need to know.

Shapes: n pictures, r rows of the search (pictures times beams), m lines, t tokens so far.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from inference.captioners.meme_small.faithful import Cutter, Evident
from inference.decoding.decoder import Logits, Tokens
from inference.decoding.processors import NEVER
from inference.reading.features import MAX_LINES
from inference.reading.reading import Reading
from inference.tokenizers.slots import BOS, CLOSE, EOS, OPEN, PAD, UNK, UNREAD, SlotTokenizer

SURE = 0.6  # a line of this probability of being print must be quoted
_ANNOUNCING = frozenset(":")


class OnlySupported:
    """Forbids words that name what the picture does not support, and to name a thing twice; a logits
    processor.

    ``allowed`` (n, concepts); ``evident``: of each picture, nothing else is said of its frames and author;
    ``word_concepts`` (vocabulary,) as of :class:`MemeSmall`; ``repeatable`` (concepts,): those that may be
    named again. Rows are pictures times beams.
    """

    def __init__(
        self,
        cutter: Cutter,
        allowed: NDArray[np.bool_],
        evident: Sequence[Evident],
        word_concepts: NDArray[np.int64],
        repeatable: NDArray[np.bool_],
    ) -> None:
        self.forbidden = np.array(
            [cutter.forbidden(row, own) for row, own in zip(allowed, evident, strict=True)]
        )
        # Words that name nothing are put to a concept of their own, which is never said.
        none = len(repeatable)
        self._concepts = np.where(word_concepts >= 0, word_concepts, none)
        self._once = np.append(~repeatable, np.False_)

    def __call__(self, tokens: Tokens, logits: Logits) -> Logits:
        """tokens (r, t), logits (r, vocabulary + m) -> logits."""
        rows, vocabulary = len(logits), self.forbidden.shape[1]
        forbidden = self.forbidden.repeat(rows // len(self.forbidden), 0)
        if tokens.shape[1]:
            none = len(self._once) - 1
            words = np.minimum(tokens, vocabulary - 1)
            named = np.where(tokens < vocabulary, self._concepts[words], none)
            said = np.zeros((rows, none + 1), np.bool_)
            np.put_along_axis(said, named, True, 1)
            forbidden |= (said & self._once)[:, self._concepts]
        left = logits.copy()
        left[:, :vocabulary][forbidden] = NEVER
        return left


class QuoteGrammar:
    """Quotations hold slots and nothing else; blocks are quoted whole, in reading order, once.

    Nothing is quoted where nothing is left, and the caption does not end while a line that is surely print is
    still unquoted: who cannot see the picture wants all of its words. A logits processor for rows that are
    pictures times beams; ``blocks`` (n, m) are the lines' block numbers, -1 where there is no line, ``sure``
    (n, m) the lines that must be quoted, ``apart`` (n, m) those that start a quotation of their own.
    """

    def __init__(
        self,
        tokenizer: SlotTokenizer,
        blocks: NDArray[np.int64],
        sure: NDArray[np.bool_],
        apart: NDArray[np.bool_] | None = None,
    ) -> None:
        self.vocabulary = len(tokenizer)
        self.open, self.close, self.eos = tokenizer.id(OPEN), tokenizer.id(CLOSE), tokenizer.id(EOS)
        self.never = np.zeros(self.vocabulary, np.bool_)
        self.never[[tokenizer.id(token) for token in (PAD, BOS, UNK, UNREAD)]] = True
        self.never[list(tokenizer.levels)] = True
        self.blocks = blocks
        self.sure = sure
        self.apart = np.zeros_like(sure) if apart is None else apart
        # What announces a quotation makes no sense where there is none to come.
        self.announcing = [i for i, word in enumerate(tokenizer.words) if word in _ANNOUNCING]

    def __call__(self, tokens: Tokens, logits: Logits) -> Logits:
        """tokens (r, t), logits (r, vocabulary + m) -> logits."""
        rows, vocabulary = len(logits), self.vocabulary
        beams = rows // len(self.blocks)
        blocks, sure = self.blocks.repeat(beams, 0), self.sure.repeat(beams, 0)
        m = blocks.shape[1]
        used = np.zeros((rows, m + 1), np.bool_)
        np.put_along_axis(used, np.where(tokens >= vocabulary, tokens - vocabulary, m), True, 1)
        left = (blocks >= 0) & ~used[:, :m]
        inside = (tokens == self.open).sum(1) > (tokens == self.close).sum(1)
        last = tokens[:, -1] if tokens.shape[1] else np.full(rows, -1)
        opened = last == self.open
        # The line after the last one quoted, where it is of the same block.
        before = np.zeros((rows, m), np.bool_)
        before[:, 1:] = blocks[:, 1:] == blocks[:, :-1]
        following = left & before & (np.arange(vocabulary, vocabulary + m) == last[:, None] + 1)
        bound = following.any(1)
        nothing = left.sum(1, keepdims=True) == 0
        forbidden = np.empty((rows, vocabulary + m), np.bool_)
        forbidden[:, :vocabulary] = self.never | inside[:, None]
        forbidden[:, self.close] = ~inside | opened | bound
        forbidden[:, self.open] |= nothing[:, 0]
        forbidden[:, self.announcing] |= nothing
        forbidden[:, self.eos] |= (left & sure).any(1)
        # Blocks are quoted in reading order: the next one is the first that is left.
        first = left & (left.cumsum(1) == 1)
        apart = self.apart.repeat(beams, 0) & ~opened[:, None]
        forbidden[:, vocabulary:] = ~np.where(bound[:, None], following, first & inside[:, None] & ~apart)
        return np.where(forbidden, NEVER, logits)


def line_blocks(readings: Sequence[Reading]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """For QuoteGrammar: block numbers (n, m), -1 where no line is, and the lines surely print (n, m)."""
    shape = (len(readings), _most_lines(readings))
    blocks = np.full(shape, -1, np.int64)
    sure = np.zeros(shape, np.bool_)
    for i, reading in enumerate(readings):
        for j, line in enumerate(reading.lines[: shape[1]]):
            blocks[i, j] = line.block
            sure[i, j] = line.confidence >= SURE
    return blocks, sure


def elsewhere(readings: Sequence[Reading]) -> NDArray[np.bool_]:
    """For QuoteGrammar (n, m): True for the first line of a block that stands above, in or below other frames
    than the block before it.
    """
    m = _most_lines(readings)
    apart = np.zeros((len(readings), m), np.bool_)
    for i, reading in enumerate(readings):
        for j, (before, line) in enumerate(pairwise(reading.lines[:m]), start=1):
            apart[i, j] = before.block != line.block and before.place != line.place
    return apart


def _most_lines(readings: Sequence[Reading]) -> int:
    return min(MAX_LINES, max((len(reading.lines) for reading in readings), default=0))
