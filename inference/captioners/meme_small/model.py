"""The model that ships: what detectors see on the picture, the lines read, and a prefix language model with
slots that may say nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Protocol

import numpy as np
from PIL import Image

from inference.captioners.meme_small.concept_table import ConceptTable
from inference.captioners.meme_small.constraints import OnlySupported, QuoteGrammar, elsewhere, line_blocks
from inference.captioners.meme_small.faithful import LAYOUT, Cutter, Evident
from inference.captioners.meme_small.memory import (
    Array,
    SlotMemory,
    SlotPrefixConfig,
    collate,
    line_word_ids,
)
from inference.captioners.meme_small.narration import Written, begins_below, narrate
from inference.captioners.meme_small.things import is_drawn, share_out, tell_things
from inference.common.places import Region
from inference.common.stages import stage
from inference.common.types import DecodingOptions
from inference.decoding.decoder import Decoder
from inference.decoding.search import Generated, generate
from inference.reading.features import layout_features, line_features
from inference.reading.lines import TextLine
from inference.reading.reading import Reading
from inference.russian.leads import parsed, signed
from inference.russian.lexicon import bare, script
from inference.russian.lists import LISTS
from inference.russian.morphology import lemma
from inference.russian.places import on_frame
from inference.russian.sentences import told
from inference.tokenizers.slots import EOS, PAD, SlotTokenizer

_OUTSIDE = {Region.ABOVE: Region.TOP, Region.BELOW: Region.BOTTOM}

MOST_FRAMES = 6  # whose things are told frame by frame; more would tire a listener


@dataclass(frozen=True, slots=True)
class Gate:
    """How probable a concept must be on a picture for its words to be said."""

    certain: float = 0.5  # by the language model, in its own sentences
    listed: float = 0.11  # by the sentences after it: a thing
    acting: float = 0.2  # by the sentences after it: what is done
    boldness: float = 0.7  # all of them times this for another variant

    def bolder(self) -> Gate:
        return Gate(*(value * self.boldness for value in (self.certain, self.listed, self.acting)))


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
        """Made at the first use: it parses the whole vocabulary."""
        return Cutter(self.tokenizer, self.word_concepts.tolist(), lemma)

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
                texts.append(self.tell(kept, reading, seen.tolist(), gate, by_frame=by_frame.tolist()))
        return texts, generated

    def detect_by_frame(self, image: Image.Image, reading: Reading, layout: Array) -> Array:
        """(frames, concepts): how probable each concept is on each frame of a picture; no frames of one that
        has a single one, or more than can be told one by one. ``layout``: (LAYOUT_FEATURES,) of the picture.
        """
        if not 2 <= len(reading.frames) <= MOST_FRAMES:
            return np.zeros((0, len(self.concepts)), dtype=np.float32)
        width, height = image.size
        crops = []
        for left, top, right, bottom in reading.frames:
            x, y = int(left * width), int(top * height)
            crops.append(image.crop((x, y, max(int(right * width), x + 1), max(int(bottom * height), y + 1))))
        n = len(crops)
        spelt = self.spelt([reading])
        return self.parts.detect(self.parts.see(crops), np.tile(layout, (n, 1)), np.tile(spelt, (n, 1)))

    def tell(
        self,
        tokens: list[int],
        reading: Reading,
        probabilities: Sequence[float],
        gate: Gate,
        *,
        by_frame: Sequence[Sequence[float]] = (),
    ) -> str:
        """The caption: what the decoder wrote, and among it, where the picture comes in reading order, what
        the detectors saw.

        ``tokens``: of the decoder, without start and end; ``probabilities``: of the concepts; ``by_frame``
        (frames, concepts): the same of each frame, where they are to be told one by one.
        """
        named = {int(self.word_concepts[word]) for word in tokens if word < len(self.tokenizer)}
        said = {self.concepts[place] for place in named if place >= 0}
        probable = [
            (concept, probability)
            for concept, probability in zip(self.concepts, probabilities, strict=True)
            if probability >= gate.listed and concept not in said
        ]
        if reading.lines and not reading.frames:
            probable = []  # a page of text: what detectors see there are letters and portraits of writers
        written = self._written(tokens, reading.lines)
        lead = _on_picture(reading, [concept for concept, _ in probable])
        if begins_below(written):
            lead = f"{LISTS.places.lower} {lead}"
        seen = [dict(zip(self.concepts, own, strict=True)) for own in by_frame]
        everywhere, single = share_out(probable, seen, gate.listed) if seen else (probable, [])
        things = tell_things(everywhere, said, place=lead, acting=gate.acting)
        scenes = {
            number: scene
            for number, own in enumerate(single)
            if (scene := tell_things(own, said, place=on_frame(number), acting=gate.acting))
        }
        return told(narrate(written, things, scenes))

    def _written(self, tokens: list[int], lines: Sequence[TextLine]) -> list[Written]:
        """What the decoder wrote, sentence by sentence; see :meth:`tell`."""
        size = len(self.tokenizer)
        sentences = self.cutter.sentences(tokens)
        quoted = [[lines[word - size] for word in sentence if word >= size] for sentence in sentences]
        places = [own[0].place if own else None for own in quoted]
        regions = {place.region for place in places if place is not None}
        # "Сверху" is one place: above the picture, where words stand there, else at its upper edge.
        taken = {edge for region, edge in _OUTSIDE.items() if region in regions}
        return [
            Written(
                signed(parsed(self.tokenizer.pieces(sentence, lines)), own[0].author if own else ""),
                quotes=bool(own),
                place=None if place is None or place.region in taken else place,
                bare=self.cutter.is_bare(sentence),
            )
            for sentence, own, place in zip(sentences, quoted, places, strict=True)
        ]


def _on_picture(reading: Reading, probable: Sequence[str]) -> str:
    """ "на фото", or what else the picture is."""
    if len(reading.frames) > 1:
        return LISTS.places.frames
    return LISTS.places.drawing if is_drawn(probable) else LISTS.places.photo
