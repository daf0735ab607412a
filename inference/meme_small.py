"""The model that ships: a small convolutional grid, the lines read, and a prefix language model with
slots.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from inference.decoders.slot_prefix import SlotMemory, SlotPrefixConfig, SlotPrefixDecoder
from inference.decoding import Generated, generate
from inference.encoders.base import build_encoder
from inference.faithful import LAYOUT, Cutter
from inference.reading.features import LINE_FEATURES, MAX_LINES, layout_features, line_features
from inference.reading.frames import frames
from inference.reading.lexicon import bare, lemma, script
from inference.slots import BOS, CLOSE, EOS, OPEN, PAD, SPECIAL, UNK, UNREAD, SlotTokenizer
from inference.types import DecodingOptions, TextLine

MAX_LINE_WORDS = 12
FREE, UNKNOWN = -1, -2  # in ``word_concepts``: says nothing of the picture; says something never learnt

SURE = 0.6  # a line of this probability of being print must be quoted

ENCODER = {
    "kind": "mobilenet_v3_small",
    "yields": "grid",
    "weights": None,
    "trainable_stages": 5,
    "preprocessing": {"size": 160},
}


@dataclass(frozen=True, slots=True)
class Gate:
    """How probable a concept must be on a picture for its words to stay in the caption."""

    certain: float = 0.25
    sampled: float = 0.2  # for another variant: a little bolder


class MemeSmall(nn.Module):
    """``word_concepts`` (vocabulary,): the concept that each word names, :data:`FREE` or :data:`UNKNOWN`."""

    def __init__(
        self,
        config: SlotPrefixConfig,
        tokenizer: SlotTokenizer,
        concepts: Sequence[str],
        word_concepts: Tensor | None = None,
        encoder: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.encoder = build_encoder(encoder or ENCODER)
        self.decoder = SlotPrefixDecoder(config)
        self.tokenizer = tokenizer
        self.concepts = tuple(concepts)
        if word_concepts is None:
            word_concepts = torch.full((len(tokenizer),), FREE)
        self.word_concepts: Tensor
        self.register_buffer("word_concepts", word_concepts)

    @cached_property
    def cutter(self) -> Cutter:
        """Made from the weights as they are at the first use."""
        return Cutter(self.tokenizer, self.word_concepts.tolist(), lemma)

    def _shown(self, lines: Sequence[TextLine]) -> set[int]:
        """The concepts that the lines show by themselves: places, order, and English where it was read."""
        kinds = [script(word) for line in lines for word in line.text.split()]
        english = kinds.count("latin") > max(1, kinds.count("cyrillic"))
        shown = LAYOUT if english else LAYOUT - {"английский"}
        return {i for i, concept in enumerate(self.concepts) if concept in shown}

    def memory(self, images: Sequence[Image.Image], lines: Sequence[Sequence[TextLine]]) -> SlotMemory:
        """What the decoder is told of n upright RGB pictures and the lines read on each."""
        grid = self.encoder(self.encoder.preprocessing(images).to(self.word_concepts.device))
        layout = [layout_features(own, image) for own, image in zip(lines, images, strict=True)]
        features = [line_features(own, image) for own, image in zip(lines, images, strict=True)]
        words = [line_word_ids(own[:MAX_LINES], self.tokenizer) for own in lines]
        return collate(grid, layout, features, words)

    @torch.inference_mode()
    def describe(
        self,
        images: Sequence[Image.Image],
        lines: Sequence[Sequence[TextLine]],
        options: DecodingOptions,
        *,
        level: int,
        gate: Gate,
    ) -> tuple[list[str], Generated]:
        """One description a picture, empty where nothing can be said for certain.

        ``level``: how much to tell beyond the quotes, 0.. (see ``SlotTokenizer.levels``). The decoder has
        places for ``config.max_tokens`` tokens: no more are asked of it.
        """
        places = self.decoder.config.max_tokens
        options = replace(
            options,
            max_tokens=min(options.max_tokens, places),
            min_tokens=min(options.min_tokens, places),
        )
        memory = self.memory(images, lines)
        tokenizer = self.tokenizer
        start = tokenizer.levels[level]
        probabilities = self.decoder.start(memory)["concepts"]
        threshold = gate.sampled if options.strategy == "sample" else gate.certain
        generated = generate(
            self.decoder,
            memory,
            options,
            bos=start,
            eos=tokenizer.id(EOS),
            pad=tokenizer.id(PAD),
            processors=[QuoteGrammar(tokenizer, *line_blocks(lines))],
        )
        texts = []
        for image, own, tokens, row in zip(
            images, lines, generated.tokens, probabilities >= threshold, strict=True
        ):
            allowed = self._shown(own) | set(row.nonzero().flatten().tolist())
            kept = self.cutter(tokens, allowed, frames=len(frames(image)))
            texts.append(tokenizer.decode(kept, own))
        return texts, generated


class QuoteGrammar:
    """Quotations hold slots and nothing else; blocks are quoted whole, in reading order, once.

    Nothing is quoted where nothing is left, and the caption does not end while a line that is surely print is
    still unquoted: who cannot see the picture wants all of its words. A logits processor for rows that are
    pictures times beams; ``blocks`` (n, m) are the lines' block numbers, -1 where there is no line, ``sure``
    (n, m) the lines that must be quoted.
    """

    def __init__(self, tokenizer: SlotTokenizer, blocks: Tensor, sure: Tensor) -> None:
        self.vocabulary = len(tokenizer)
        self.open, self.close, self.eos = tokenizer.id(OPEN), tokenizer.id(CLOSE), tokenizer.id(EOS)
        never = [tokenizer.id(token) for token in (PAD, BOS, UNK, UNREAD)] + list(tokenizer.levels)
        self.never = torch.zeros(self.vocabulary, dtype=torch.bool)
        self.never[never] = True
        self.blocks = blocks
        self.sure = sure
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
        forbidden[:, vocabulary:] = ~torch.where(bound[:, None], following, first & inside[:, None])
        return logits.masked_fill(forbidden, -torch.inf)


_ANNOUNCING = frozenset(":")


def line_blocks(lines: Sequence[Sequence[TextLine]]) -> tuple[Tensor, Tensor]:
    """For QuoteGrammar: block numbers (n, m), -1 where no line is, and the lines surely print (n, m)."""
    m = min(MAX_LINES, max((len(own) for own in lines), default=0))
    blocks = torch.full((len(lines), m), -1)
    sure = torch.zeros(len(lines), m, dtype=torch.bool)
    for i, own in enumerate(lines):
        for j, line in enumerate(own[:m]):
            blocks[i, j] = line.block
            sure[i, j] = line.confidence >= SURE
    return blocks, sure


def concept_words(
    tokenizer: SlotTokenizer, concepts: Sequence[str], lemmas_of: Callable[[str], frozenset[str]]
) -> Tensor:
    """(vocabulary,): for each word the place of its lemma in ``concepts``, :data:`FREE` or
    :data:`UNKNOWN`.
    """
    places = {concept: i for i, concept in enumerate(concepts)}
    named = []
    for word in tokenizer.words:
        lemmas = lemmas_of(word) if word[:1] != "<" else frozenset()
        named.append(min((places.get(lemma, UNKNOWN) for lemma in lemmas), default=FREE))
    # Words of other alphabets and numbers name something too: a brand, a user, a year.
    for i, word in enumerate(tokenizer.words):
        if named[i] == FREE and word[:1] != "<" and any(c.isascii() and c.isalnum() for c in word):
            named[i] = FREE if word.isdigit() and len(word) == 1 else UNKNOWN
    return torch.tensor(named)


def line_word_ids(lines: Sequence[TextLine], tokenizer: SlotTokenizer) -> np.ndarray[Any, Any]:
    """(lines, MAX_LINE_WORDS) ids of the words read that the vocabulary knows, 0 where none."""
    ids = np.zeros((len(lines), MAX_LINE_WORDS), dtype=np.int64)
    for row, line in enumerate(lines):
        known = [tokenizer.ids.get(bare(word).lower(), 0) for word in line.text.split()]
        known = [i for i in known if i >= len(SPECIAL)][:MAX_LINE_WORDS]
        ids[row, : len(known)] = known
    return ids


def collate(
    grid: Tensor | None,
    layout: Sequence[np.ndarray[Any, Any]],
    features: Sequence[np.ndarray[Any, Any]],
    words: Sequence[np.ndarray[Any, Any]],
) -> SlotMemory:
    """One memory of n pictures, their lines padded to the most lines among them."""
    n, m = len(features), max((len(one) for one in features), default=0)
    values = torch.zeros(n, m, LINE_FEATURES)
    ids = torch.zeros(n, m, MAX_LINE_WORDS, dtype=torch.long)
    mask = torch.zeros(n, m, dtype=torch.bool)
    for i, (one, own) in enumerate(zip(features, words, strict=True)):
        values[i, : len(one)] = torch.from_numpy(one)
        ids[i, : len(one)] = torch.from_numpy(own)
        mask[i, : len(one)] = True
    return SlotMemory(grid, torch.from_numpy(np.stack(layout)), values, ids, mask)
