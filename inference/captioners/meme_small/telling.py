"""A caption from the decoder's tokens and what the detectors saw, as long as it was asked for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from inference.captioners.meme_small.faithful import LAYOUT, Cutter
from inference.captioners.meme_small.known import Gate, Known, View
from inference.captioners.meme_small.lengths import LENGTHS
from inference.captioners.meme_small.narration import Written
from inference.captioners.meme_small.things import Seen, is_being, tells_doings_alone
from inference.common.places import Region
from inference.common.types import DecodingOptions
from inference.reading.geometry import hull
from inference.reading.lines import TextLine
from inference.reading.reading import Reading
from inference.russian.leads import parsed, signed, truly_placed
from inference.russian.lists import LISTS
from inference.russian.sentences import Sentence, told
from inference.tokenizers.slots import SlotTokenizer

_OUTSIDE = {Region.ABOVE: Region.TOP, Region.BELOW: Region.BOTTOM}


@dataclass(frozen=True, slots=True)
class Teller:
    """Tells what the decoder wrote and, where the picture comes in reading order, what the detectors saw."""

    tokenizer: SlotTokenizer
    cutter: Cutter
    concepts: Sequence[str]  # by their numbers

    def tell(self, tokens: Sequence[int], view: View, gate: Gate, options: DecodingOptions) -> str:
        """The caption; "" where nothing can be told. ``tokens``: of the decoder, without start and end."""
        shown, named = self._shown(view, gate), self._named(tokens)
        probable = [one for one in shown if one[0] not in named]
        place = ""
        if tells_doings_alone(probable, named, gate.acting):
            place, tokens = self._without_beings_alone(tokens)
            alone = named - self._named(tokens)
            named -= alone
            # Where the decoder could say no more than "человек", the others are no surer.
            vague = LISTS.things.people if LISTS.things.anybody in alone else frozenset()
            probable = [one for one in shown if one[0] not in named | vague]
        seen = [dict(zip(self.concepts, own, strict=True)) for own in view.by_frame]
        written = [one for one in self._written(tokens, view.reading) if options.quoting or not one.quotes]
        known = Known(view, written, named, probable, seen, gate, place)
        return told(LENGTHS[options.detail](known))

    def _shown(self, view: View, gate: Gate) -> list[Seen]:
        """The concepts that are probable enough to be listed."""
        if view.reading.lines and not view.reading.frames:
            return []  # a page of text: what detectors see there are letters and portraits of writers
        pairs = zip(self.concepts, view.probabilities, strict=True)
        return [(concept, probability) for concept, probability in pairs if probability >= gate.listed]

    def _without_beings_alone(self, tokens: Sequence[int]) -> tuple[str, list[int]]:
        """Without "На картинке кот.", which is said with what the cat does; and where that is: "на картинке",
        "" where it was not said.
        """
        size = len(self.tokenizer)
        place, kept = "", list[int]()
        for one in self.cutter.sentences(tokens):
            concept = None if max(one) >= size else self.cutter.named_alone(one)
            if concept is None or not is_being(self.concepts[concept]):
                kept += one
            else:
                place = place or " ".join(self.tokenizer.words[word] for word in self.cutter.place(one))
        return place, kept

    def _named(self, tokens: Iterable[int]) -> set[str]:
        """The concepts that the decoder's words name."""
        size = len(self.tokenizer)
        places = {self.cutter.word_concepts[word] for word in tokens if word < size}
        return {self.concepts[place] for place in places if place >= 0}

    def _written(self, tokens: Sequence[int], reading: Reading) -> list[Written]:
        """What the decoder wrote, sentence by sentence."""
        size, lines = len(self.tokenizer), reading.lines
        sentences = self.cutter.sentences(tokens)
        quoted = [[lines[word - size] for word in sentence if word >= size] for sentence in sentences]
        places = [own[0].place if own else None for own in quoted]
        regions = {place.region for place in places if place is not None}
        # "Сверху" is one place: above the picture, where words stand there, else at its upper edge.
        taken = {edge for region, edge in _OUTSIDE.items() if region in regions}
        return [
            Written(
                _announced(parsed(self.tokenizer.pieces(sentence, lines)), own, reading),
                quotes=bool(own),
                place=None if place is None or place.region in taken else place,
                bare=self.cutter.is_bare(sentence),
                seen=bool(self._named(sentence) - LAYOUT),
                box=hull(line.box for line in own) if own else None,
            )
            for sentence, own, place in zip(sentences, quoted, places, strict=True)
        ]


def _announced(sentence: Sentence, quoted: Sequence[TextLine], reading: Reading) -> Sentence:
    """The sentence with the truth of the lines that it quotes: where they stand, whose post they are."""
    if not quoted:
        return sentence
    region = quoted[0].place.region
    if region is Region.BELOW and not reading.illustrated:
        region = Region.PAGE  # a post under its writer's portrait is no caption under a picture
    return signed(truly_placed(sentence, region), quoted[0].author)
