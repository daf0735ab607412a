"""The model that ships: what detectors see on the picture, the lines read, and a prefix language model with
slots that may say nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from typing import Protocol

import numpy as np
from PIL import Image

from inference.captioners.meme_small.concept_table import ConceptTable
from inference.captioners.meme_small.constraints import OnlySupported, QuoteGrammar, elsewhere, line_blocks
from inference.captioners.meme_small.faithful import LAYOUT, Cutter, Evident
from inference.captioners.meme_small.known import Gate, View
from inference.captioners.meme_small.memory import (
    Array,
    SlotMemory,
    SlotPrefixConfig,
    collate,
    line_word_ids,
)
from inference.captioners.meme_small.telling import Teller
from inference.common.stages import stage
from inference.common.types import DecodingOptions
from inference.decoding.decoder import Decoder
from inference.decoding.search import Generated, generate
from inference.pictures.colours import Palette, palette
from inference.reading.features import layout_features, line_features
from inference.reading.reading import Reading
from inference.russian.lexicon import bare, script
from inference.russian.lists import LISTS
from inference.russian.morphology import lemma
from inference.tokenizers.slots import EOS, PAD, SlotTokenizer

MOST_FRAMES = 6  # whose things are told frame by frame; more would tire a listener


class Parts(Protocol):
    """What has been learnt, whatever runs it."""

    @property
    def config(self) -> SlotPrefixConfig: ...

    @property
    def decoder(self) -> Decoder:
        """Of a :class:`SlotMemory` and, behind its words, the lines of the picture."""

    def see(self, images: Sequence[Image.Image]) -> Array:
        """(n, 2, width): mean and maximum over the places of n upright RGB pictures."""

    def detect(self, pooled: Array, layout: Array, spelt: Array) -> Array:
        """(n, concepts): how probable each concept is on pictures that :meth:`see` saw.

        ``layout`` (n, LAYOUT_FEATURES); ``spelt`` as of :meth:`MemeSmall.spelt`.
        """


class MemeSmall:
    """The parts together with the words that they are about."""

    def __init__(self, parts: Parts, tokenizer: SlotTokenizer, table: ConceptTable) -> None:
        self.parts = parts
        self.tokenizer = tokenizer
        self.table = table
        self.word_concepts = np.array(table.word_concepts, dtype=np.int64)  # (vocabulary,)
        self.concepts = tuple(table.concepts)
        self._places = {concept: place for place, concept in enumerate(self.concepts)}
        self._layout = np.array([concept in LAYOUT for concept in self.concepts], dtype=bool)
        once = np.array([concept in LISTS.captions.languages for concept in self.concepts], dtype=bool)
        self._repeatable = self._layout & ~once

    @cached_property
    def cutter(self) -> Cutter:
        """Made at the first use: it asks the dictionary."""
        return Cutter(self.tokenizer, self.word_concepts.tolist())

    @cached_property
    def teller(self) -> Teller:
        """Made at the first use, as what it needs is."""
        return Teller(self.tokenizer, self.cutter, self.concepts)

    def spelt(self, readings: Sequence[Reading]) -> Array:
        """(n, concepts), float32: 1 where a concept is among the words read."""
        found = np.zeros((len(readings), len(self.concepts)), dtype=np.float32)
        for row, reading in enumerate(readings):
            for line in reading.lines:
                for word in line.text.split():
                    place = self._places.get(lemma(bare(word)))
                    if place is not None:
                        found[row, place] = 1
        return found

    def memory(
        self,
        images: Sequence[Image.Image],
        readings: Sequence[Reading],
        pooled: Array | None = None,
    ) -> tuple[SlotMemory[Array], Array]:
        """What the decoder is told of n upright RGB pictures and what was read on each, and the probabilities
        (n, concepts) behind it. ``pooled``: what :meth:`Parts.see` gave for them, where it is known.
        """
        layout = [layout_features(reading, image) for reading, image in zip(readings, images, strict=True)]
        features = [line_features(reading, image) for reading, image in zip(readings, images, strict=True)]
        words = [line_word_ids(reading, self.tokenizer) for reading in readings]
        probabilities = self.parts.detect(
            self.parts.see(images) if pooled is None else pooled, np.stack(layout), self.spelt(readings)
        )
        return collate(probabilities, self.parts.config.shown, layout, features, words), probabilities

    def allowed(self, readings: Sequence[Reading], probabilities: Array, threshold: float) -> Array:
        """(n, concepts), True where a caption may name the concept: it is probable, or the lines and frames
        show it by themselves (places, order, and English where English was read).
        """
        layout = np.tile(self._layout, (len(readings), 1))
        english = self._places.get(LISTS.captions.latin)
        if english is not None:
            for row, reading in enumerate(readings):
                kinds = [script(word) for line in reading.lines for word in line.text.split()]
                layout[row, english] = kinds.count("latin") > max(1, kinds.count("cyrillic"))
        probable = probabilities >= threshold
        words = LISTS.captions
        ground, white = self._places.get(words.ground), self._places.get(words.ground_colour)
        if ground is not None and white is not None:
            probable[:, ground] &= probable[:, white]  # "на фоне" alone says nothing
        either: Array = layout | probable
        return either

    def describe(
        self,
        images: Sequence[Image.Image],
        readings: Sequence[Reading],
        options: DecodingOptions,
        *,
        level: int,
        gate: Gate,
    ) -> tuple[list[str], Generated]:
        """One description a picture, empty where nothing can be said for certain.

        ``level``: how much to tell beyond the quotes, 0.. (see ``SlotTokenizer.levels``). The decoder has
        places for ``config.max_tokens`` tokens: no more are asked of it.
        """
        places = self.parts.config.max_tokens
        options = replace(
            options,
            max_tokens=min(options.max_tokens, places),
            min_tokens=min(options.min_tokens, places),
        )
        if options.strategy == "sample":
            gate = gate.bolder()
        with stage("generate.see"):
            memory, probabilities = self.memory(images, readings)
        evident = [Evident(len(reading.frames), bool(reading.posts)) for reading in readings]
        allowed = self.allowed(readings, probabilities, gate.certain)
        tokenizer = self.tokenizer
        with stage("generate.search"):
            generated = generate(
                self.parts.decoder,
                memory,
                options,
                bos=tokenizer.levels[level],
                eos=tokenizer.id(EOS),
                pad=tokenizer.id(PAD),
                processors=[
                    QuoteGrammar(tokenizer, *line_blocks(readings), elsewhere(readings)),
                    OnlySupported(self.cutter, allowed, evident, self.word_concepts, self._repeatable),
                ],
            )
        texts = []
        for image, reading, tokens, row, seen, layout, shown in zip(
            images, readings, generated.tokens, allowed, probabilities, memory.layout, evident, strict=True
        ):
            # A last look: a clause that ended half-way, a quotation that was never closed. The decoder tells
            # of words and frames: where there are none, it says what memes have in general.
            tellable = tokens if reading.lines or shown.frames > 1 else []
            kept = self.cutter(tellable, set(np.flatnonzero(row).tolist()), evident=shown)
            with stage("generate.see"):
                by_frame = self.detect_by_frame(image, reading, layout)
            with stage("generate.write"):
                palettes = self.palettes(image, reading) if options.detail == "detailed" else []
                view = View(reading, seen.tolist(), by_frame.tolist(), palettes)
                texts.append(self.teller.tell(kept, view, gate, options))
        return texts, generated

    def detect_by_frame(self, image: Image.Image, reading: Reading, layout: Array) -> Array:
        """(frames, concepts): how probable each concept is on each frame of a picture; no frames of one that
        has a single one, or more than can be told one by one. ``layout``: (LAYOUT_FEATURES,) of the picture.
        """
        if not 2 <= len(reading.frames) <= MOST_FRAMES:
            return np.zeros((0, len(self.concepts)), dtype=np.float32)
        crops = _crops(image, reading)
        n = len(crops)
        spelt = self.spelt([reading])
        return self.parts.detect(self.parts.see(crops), np.tile(layout, (n, 1)), np.tile(spelt, (n, 1)))

    @staticmethod
    def palettes(image: Image.Image, reading: Reading) -> list[Palette]:
        """The colours of each frame of a picture; none where there are more than can be told one by one."""
        few = len(reading.frames) <= MOST_FRAMES
        return [palette(frame) for frame in _crops(image, reading)] if few else []


def _crops(image: Image.Image, reading: Reading) -> list[Image.Image]:
    """The frames of a picture, at least a pixel wide and high."""
    width, height = image.size
    crops = []
    for left, top, right, bottom in reading.frames:
        x, y = int(left * width), int(top * height)
        crops.append(image.crop((x, y, max(int(right * width), x + 1), max(int(bottom * height), y + 1))))
    return crops
