"""What is known of a picture before a word of its caption is chosen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from inference.captioners.meme_small.narration import Written, begins_below
from inference.captioners.meme_small.things import Seen, is_drawn, share_out, tell_things
from inference.pictures.colours import Palette
from inference.reading.reading import Reading
from inference.russian.lists import LISTS
from inference.russian.places import on_frame
from inference.russian.sentences import Sentence


@dataclass(frozen=True, slots=True)
class Gate:
    """How probable a concept must be on a picture for its words to be said."""

    certain: float = 0.5  # by the language model, in its own sentences
    listed: float = 0.11  # by the sentences after it: a thing
    acting: float = 0.2  # by the sentences after it: what is done
    boldness: float = 0.7  # all of them times this for another variant

    def bolder(self) -> Gate:
        return Gate(*(value * self.boldness for value in (self.certain, self.listed, self.acting)))


@dataclass(frozen=True, slots=True)
class View:
    """What was read on a picture and seen there. Probabilities are of the concepts, in their order."""

    reading: Reading
    probabilities: Sequence[float]
    by_frame: Sequence[Sequence[float]] = ()  # (frames, concepts), where frames are told one by one
    palettes: Sequence[Palette] = ()  # of each frame, where colours are told


@dataclass(frozen=True, slots=True)
class Known:
    """A view by the names of its concepts, and what the decoder wrote of it."""

    view: View
    written: Sequence[Written]
    named: set[str]  # concepts that the decoder's sentences have
    probable: Sequence[Seen]  # those that the picture shows beside them
    by_frame: Sequence[Mapping[str, float]]
    gate: Gate
    place: str = ""  # "на картинке", where the decoder said so of who is told with what they do

    def shown(self) -> tuple[list[Sentence], dict[int, list[Sentence]]]:
        """What all of the picture shows, and what its frames show, by their numbers."""
        everywhere: Sequence[Seen] = self.probable
        single: Sequence[Sequence[Seen]] = ()
        if self.by_frame:
            everywhere, single = share_out(self.probable, self.by_frame, self.gate.listed)
        place = self.on_picture()
        if begins_below(self.written):
            place = f"{LISTS.places.lower} {place}"
        told = {number: self.things(own, on_frame(number)) for number, own in enumerate(single)}
        return self.things(everywhere, place), {number: scene for number, scene in told.items() if scene}

    def things(self, concepts: Sequence[Seen], place: str) -> list[Sentence]:
        """Sentences about some of what is shown, beside what the decoder named; ``place`` begins them."""
        return tell_things(concepts, self.named, place=place, acting=self.gate.acting)

    def on_picture(self) -> str:
        """ "на фото", or what else the picture is."""
        if len(self.view.reading.frames) > 1:
            return LISTS.places.frames
        if self.place:
            return self.place
        drawn = is_drawn(concept for concept, _ in self.probable)
        return LISTS.places.drawing if drawn else LISTS.places.photo
