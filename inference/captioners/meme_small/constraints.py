"""What the decoder may write: logits processors that forbid the rest, and what they need to know.

Shapes: n pictures, r rows of the search (pictures times beams), m lines, t tokens so far.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

from inference.captioners.meme_small.faithful import Cutter, Evident
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
        allowed: Tensor,
        evident: Sequence[Evident],
        word_concepts: Tensor,
        repeatable: Tensor,
    ) -> None:
        self.forbidden = torch.stack(
            [
                torch.tensor(cutter.forbidden(set(row.nonzero().flatten().tolist()), own))
                for row, own in zip(allowed, evident, strict=True)
            ]
        )
        # Words that name nothing are put to a concept of their own, which is never said.
        none = len(repeatable)
        self._concepts = torch.where(word_concepts >= 0, word_concepts, none)
        self._once = torch.cat((~repeatable, torch.zeros(1, dtype=torch.bool)))

    def __call__(self, tokens: Tensor, logits: Tensor) -> Tensor:
        """tokens (r, t), logits (r, vocabulary + m) -> logits."""
        beams = len(logits) // len(self.forbidden)
        vocabulary = self.forbidden.shape[1]
        forbidden = self.forbidden.repeat_interleave(beams, 0)
        if tokens.shape[1]:
            none = len(self._once) - 1
            named = torch.where(tokens < vocabulary, self._concepts[tokens.clamp(max=vocabulary - 1)], none)
            said = torch.zeros(len(logits), none + 1, dtype=torch.bool)
            said.scatter_(1, named, torch.ones_like(named, dtype=torch.bool))
            forbidden = forbidden | (said & self._once)[:, self._concepts]
        words = logits[:, :vocabulary].masked_fill(forbidden, -torch.inf)
        return torch.cat((words, logits[:, vocabulary:]), dim=1)


class QuoteGrammar:
    """Quotations hold slots and nothing else; blocks are quoted whole, in reading order, once.

    Nothing is quoted where nothing is left, and the caption does not end while a line that is surely print is
    still unquoted: who cannot see the picture wants all of its words. A logits processor for rows that are
    pictures times beams; ``blocks`` (n, m) are the lines' block numbers, -1 where there is no line, ``sure``
    (n, m) the lines that must be quoted, ``apart`` (n, m) those that start a quotation of their own.
    """

    def __init__(
        self, tokenizer: SlotTokenizer, blocks: Tensor, sure: Tensor, apart: Tensor | None = None
    ) -> None:
        self.vocabulary = len(tokenizer)
        self.open, self.close, self.eos = tokenizer.id(OPEN), tokenizer.id(CLOSE), tokenizer.id(EOS)
        never = [tokenizer.id(token) for token in (PAD, BOS, UNK, UNREAD)] + list(tokenizer.levels)
        self.never = torch.zeros(self.vocabulary, dtype=torch.bool)
        self.never[never] = True
        self.blocks = blocks
        self.sure = sure
        self.apart = torch.zeros_like(sure) if apart is None else apart
        # What announces a quotation makes no sense where there is none to come.
        self.announcing = torch.tensor([i for i, word in enumerate(tokenizer.words) if word in _ANNOUNCING])

    def __call__(self, tokens: Tensor, logits: Tensor) -> Tensor:
        """tokens (r, t), logits (r, vocabulary + m) -> logits."""
        rows, vocabulary = len(logits), self.vocabulary
        beams = rows // len(self.blocks)
        blocks, sure = self.blocks.repeat_interleave(beams, 0), self.sure.repeat_interleave(beams, 0)
        m = blocks.shape[1]
        used = torch.zeros(rows, m + 1, dtype=torch.bool)
        slots = torch.where(tokens >= vocabulary, tokens - vocabulary, m)
        used.scatter_(1, slots, torch.ones_like(slots, dtype=torch.bool))
        left = (blocks >= 0) & ~used[:, :m]
        inside = (tokens == self.open).sum(1) > (tokens == self.close).sum(1)
        opened = tokens[:, -1] == self.open if tokens.shape[1] else torch.zeros(rows, dtype=torch.bool)
        # The line after the last one quoted, where it is of the same block.
        before = torch.zeros(rows, m, dtype=torch.bool)
        before[:, 1:] = blocks[:, 1:] == blocks[:, :-1]
        last = tokens[:, -1] - vocabulary if tokens.shape[1] else torch.full((rows,), -1)
        following = left & before & (torch.arange(m) == last[:, None] + 1)
        bound = following.any(1)
        forbidden = torch.zeros(rows, vocabulary + m, dtype=torch.bool)
        forbidden[:, :vocabulary] = self.never | inside[:, None]
        forbidden[:, self.close] = ~inside | opened | bound
        forbidden[:, self.open] |= ~left.any(1)
        forbidden[:, self.announcing] |= ~left.any(1)[:, None]
        forbidden[:, self.eos] |= (left & sure).any(1)
        # Blocks are quoted in reading order: the next one is the first that is left.
        first = left & (left.cumsum(1) == 1)
        apart = self.apart.repeat_interleave(beams, 0) & ~opened[:, None]
        forbidden[:, vocabulary:] = ~torch.where(bound[:, None], following, first & inside[:, None] & ~apart)
        return logits.masked_fill(forbidden, -torch.inf)


def line_blocks(readings: Sequence[Reading]) -> tuple[Tensor, Tensor]:
    """For QuoteGrammar: block numbers (n, m), -1 where no line is, and the lines surely print (n, m)."""
    m = _most_lines(readings)
    blocks = torch.full((len(readings), m), -1)
    sure = torch.zeros(len(readings), m, dtype=torch.bool)
    for i, reading in enumerate(readings):
        for j, line in enumerate(reading.lines[:m]):
            blocks[i, j] = line.block
            sure[i, j] = line.confidence >= SURE
    return blocks, sure


def elsewhere(readings: Sequence[Reading]) -> Tensor:
    """For QuoteGrammar (n, m): True for the first line of a block that stands above, in or below other frames
    than the block before it.
    """
    m = _most_lines(readings)
    apart = torch.zeros(len(readings), m, dtype=torch.bool)
    for i, reading in enumerate(readings):
        for j, (before, line) in enumerate(pairwise(reading.lines[:m]), start=1):
            apart[i, j] = before.block != line.block and before.place != line.place
    return apart


def _most_lines(readings: Sequence[Reading]) -> int:
    return min(MAX_LINES, max((len(reading.lines) for reading in readings), default=0))
