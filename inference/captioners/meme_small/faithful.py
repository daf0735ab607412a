"""Cuts a caption down to what the picture supports, sentence by sentence, so that the rest still reads well.

A decoder trained from little data fills its sentences with what is likely in general ("мужчина смотрит на"),
true or not. Here every word that names something of the picture is either supported by its concept's
probability or cut, together with the clause that needed it; quotations always stay, with a plain lead
("подпись:") where theirs was cut. The same cut makes the training targets: the decoder learns to say what can
be known.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from inference.russian.counting import ordinal_lemmas, spellings
from inference.russian.grammar import is_well_formed
from inference.russian.lists import LISTS
from inference.russian.morphology import forms, lemma, without_yo
from inference.russian.phrases import Pruner
from inference.tokenizers.slots import CLOSE, OPEN, SPECIAL, UNK, SlotTokenizer

_LISTS = LISTS.captions
_COUNTED = 6  # frames, at most, that a caption counts
_ENDS = frozenset((".", "!", "?", "…", "...", ";"))

LAYOUT = frozenset({*ordinal_lemmas(), *_LISTS.order, *_LISTS.sides, *_LISTS.languages})
"""Concepts that the lines and frames themselves show: always allowed."""


@dataclass(frozen=True, slots=True)
class Evident:
    """What the lines and frames of a picture show without a detector."""

    frames: int  # how many: another number of them is not said
    signed: bool  # an account is read that posted the words: without one, nobody's post is told of


@dataclass
class Cutter:
    """Knows the roles of a vocabulary's words.

    ``word_concepts``: for each word id the concept it names, or a negative number where it names none (-1)
    or one that was never learnt (-2).
    """

    tokenizer: SlotTokenizer
    word_concepts: Sequence[int]
    pictures: set[int] = field(init=False, default_factory=set)
    writings: set[int] = field(init=False, default_factory=set)
    posts: set[int] = field(init=False, default_factory=set)
    _by_kind: dict[Evident, NDArray[np.bool_]] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        words = self.tokenizer.words
        # Parsed are those alone that may be a form of what is listed: all would take a fifth of a second.
        named = frozenset({*_LISTS.pictures, *_LISTS.writings, *_LISTS.posts, *ordinal_lemmas()})
        likely = frozenset(form for one in named for form in forms(one))
        lemmas = {
            number: lemma(word) for number, word in enumerate(words) if without_yo(word.lower()) in likely
        }
        self.pictures, self.writings, self.posts = (
            {word for word, found in lemmas.items() if found in listed}
            for listed in (_LISTS.pictures, _LISTS.writings, _LISTS.posts)
        )
        self._learn_marks()
        self._learn_words()
        self._learn_numbers(lemmas)
        self._prune = Pruner(words, unknown=UNK)

    def _learn_marks(self) -> None:
        self._open, self._close = self.tokenizer.id(OPEN), self.tokenizer.id(CLOSE)
        self._colon, self._stop = self.tokenizer.id(":"), self.tokenizer.id(".")
        self._comma = self.tokenizer.id(",")
        self._ends = self._ids(_ENDS)
        # An unknown word (id of UNK) names something nobody learnt: it is cut like one, not skipped.
        special = set(SPECIAL) - {OPEN, CLOSE, UNK}
        self._special = {self.tokenizer.ids[word] for word in special} | set(self.tokenizer.levels)
        self._special |= self._ids("*_`")
        self._unknown = self.tokenizer.id(UNK)
        self._structure = {self.tokenizer.ids[word] for word in SPECIAL} | set(self.tokenizer.levels)

    def _learn_words(self) -> None:
        self._lead = [
            self.tokenizer.ids[word] for word in (LISTS.leads.plain, ":") if word in self.tokenizer.ids
        ]
        self._prepositions = self._ids(_LISTS.placing)
        self._never_said = self._ids(_LISTS.never)
        self._genre = self._ids(_LISTS.genres)
        self._bare = self._ids(_LISTS.bare)
        shown = [form for row in LISTS.participles.shown for form in row]
        self._shown = self._ids((*shown, *map(without_yo, shown)))
        self._places = self._ids(_LISTS.places)
        self._several = self._ids(_LISTS.several)

    def _learn_numbers(self, lemmas: Mapping[int, str]) -> None:
        ordinals = ordinal_lemmas()
        self._ordinals = {word: ordinals[found] for word, found in lemmas.items() if found in ordinals}
        self._numbers = {
            token: number for number in range(2, _COUNTED + 1) for token in self._ids(spellings(number))
        }

    def _ids(self, words: Iterable[str]) -> set[int]:
        return {self.tokenizer.ids[word] for word in words if word in self.tokenizer.ids}

    def __call__(
        self, tokens: Sequence[int], allowed: Collection[int], *, evident: Evident | None = None
    ) -> list[int]:
        """The caption's tokens (no start and end tokens) without what ``allowed`` concepts do not support.

        ``evident``: of a picture that a decoder described: without what is evidently not so, or no Russian.
        None: a person wrote it.
        """
        if evident is not None:
            tokens = [self._unknown if self._is_belied(token, evident) else token for token in tokens]
        kept: list[int] = []
        said: set[tuple[int, ...]] = set()
        for sentence in self.sentences([token for token in tokens if token not in self._special]):
            own = self._sentence(sentence, allowed, checked=evident is not None)
            if tuple(own) not in said:
                kept += own
            said.add(tuple(own))
        return kept

    def _is_belied(self, word: int, evident: Evident) -> bool:
        return self._miscounts(word, evident.frames) or (word in self.posts and not evident.signed)

    def _miscounts(self, word: int, frames: int) -> bool:
        """Whether the word speaks of more or fewer frames than there are."""
        if frames == 0 and word in self._bare:
            return True  # a page of text is no photo
        if frames < 2:
            return word in self._several or word in self._numbers or word in self._ordinals
        return self._numbers.get(word, frames) != frames or self._ordinals.get(word, 0) > frames

    def forbidden(self, allowed: NDArray[np.bool_], evident: Evident) -> NDArray[np.bool_]:
        """For each word of the vocabulary whether a caption of this picture may not say it; ``allowed``
        (concepts,).
        """
        unsupported = (self._concepts >= 0) & ~allowed[np.maximum(self._concepts, 0)]
        found: NDArray[np.bool_] = (unsupported & ~self._structural) | self._never(evident)
        return found

    @cached_property
    def _concepts(self) -> NDArray[np.int64]:
        return np.array(self.word_concepts, dtype=np.int64)

    @cached_property
    def _structural(self) -> NDArray[np.bool_]:
        return np.array([word in self._structure for word in range(len(self.word_concepts))], dtype=bool)

    def _never(self, evident: Evident) -> NDArray[np.bool_]:
        """Words that no caption of a picture with so many frames may say, whatever is seen there."""
        frames = min(evident.frames, max({0, *self._numbers.values(), *self._ordinals.values()}) + 1)
        kind = replace(evident, frames=frames)  # more frames than any word tells of are one kind
        if kind not in self._by_kind:
            everything = {*self.word_concepts}
            self._by_kind[kind] = np.array(
                [
                    word not in self._structure
                    and (self._unsupported(word, everything) or self._is_belied(word, kind))
                    for word in range(len(self.word_concepts))
                ],
                dtype=bool,
            )
        return self._by_kind[kind]

    # --- sentences ---

    def is_bare(self, sentence: Sequence[int]) -> bool:
        """ "Фото.", "На картинке.": a sentence that only says that there is a picture."""
        idle = self._ends | self._prepositions | self._shown | self._genre
        said = [word for word in sentence if word not in idle]
        return bool(said) and all(word in self._bare for word in said)

    def named_alone(self, sentence: Sequence[int]) -> int | None:
        """The concept that is all that a sentence names of a picture: "На фото кот."; None: there is another,
        or none.
        """
        idle = self._ends | self._prepositions | self._shown | self._genre | self._bare
        concepts = {self.word_concepts[word] for word in sentence if word not in idle}
        return concepts.pop() if len(concepts) == 1 and min(concepts) >= 0 else None

    def place(self, sentence: Sequence[int]) -> Sequence[int]:
        """What a sentence begins with that says of which picture it is: "на картинке"; nothing where it does
        not.
        """
        first = sentence[:2]
        said = len(first) == 2 and first[0] in self._prepositions and first[1] in self._bare
        return first if said else ()

    def sentences(self, tokens: Sequence[int]) -> list[list[int]]:
        """The tokens of a caption, a list for each sentence; what is quoted is one piece."""
        sentences: list[list[int]] = [[]]
        inside = False
        for token in tokens:
            sentences[-1].append(token)
            inside = (inside or token == self._open) and token != self._close
            if token in self._ends and not inside:
                sentences.append([])
        return [sentence for sentence in sentences if sentence]

    def _sentence(self, sentence: list[int], allowed: Collection[int], *, checked: bool) -> list[int]:
        """``checked``: what stands around its quotations must also be Russian."""

        def lead_of(words: list[int]) -> list[int]:
            lead = self._cut_lead(words, allowed)
            return self._lead if checked and not self._reads_well(lead) else lead

        end = [sentence.pop()] if sentence[-1] in self._ends else []
        out: list[int] = []
        words: list[int] = []
        quote: list[int] | None = None
        for token in sentence:
            if token == self._open:
                quote = []
            elif token == self._close:
                # A quotation of nothing goes with its lead.
                if quote:
                    lead = lead_of(words)
                    if out and lead == self._lead and out[-1] == self._close:
                        out.append(self._stop)
                    out += [*lead, self._open, *quote, token]
                words, quote = [], None
            elif quote is not None:
                quote.append(token)
            else:
                words.append(token)
        if quote:  # the caption was cut short within a quotation: what was read is told all the same
            out += [*lead_of(words), self._open, *quote, self._close]
            words = []
        tail = self._cut_tail(words, allowed, first=not out)
        if not checked or self._reads_well(tail):
            out += tail
        return [*out, *(end or [self._stop])] if out else []

    def _reads_well(self, words: Sequence[int]) -> bool:
        return is_well_formed([self.tokenizer.words[word] for word in words])

    def _unsupported(self, word: int, allowed: Collection[int]) -> bool:
        if word >= len(self.word_concepts):
            return False
        concept = self.word_concepts[word]
        missing = concept == -2 or (concept >= 0 and concept not in allowed)
        return missing or word == self._unknown or word in self._never_said

    def _cut_lead(self, words: list[int], allowed: Collection[int]) -> list[int]:
        """Before a quotation: what of it is supported; where the announcement went, a plain one instead."""

        def bad(word: int) -> bool:
            return self._unsupported(word, allowed)

        if not any(map(bad, words)):
            return words
        comma = max((i for i, word in enumerate(words) if word == self._comma), default=-1)
        announcement = words[comma + 1 :]
        if comma >= 0 and not any(map(bad, announcement)) and self._announces(announcement):
            kept = self._prune(words[:comma], bad)
            return [*kept, self._comma, *announcement] if kept else announcement
        announced = words[-1] == self._colon
        kept = self._prune(words[:-1] if announced else words, bad)
        if not kept:
            return self._lead
        if announced and self._announces(kept):
            return [*kept, self._colon]
        if self._is_place(kept):
            return [*kept, *self._lead]
        return [*kept, self._stop, *self._lead]

    def _is_place(self, words: Sequence[int]) -> bool:
        """ "На первом кадре", "ниже": what can stand before "подпись:"."""
        if not words:
            return False
        if len(words) == 1 and words[0] in self._places:
            return True
        nouns = [word for word in words if self._prune.is_noun(word)]
        return words[0] in self._prepositions and bool(nouns) and all(word in self.pictures for word in nouns)

    def _cut_tail(self, words: list[int], allowed: Collection[int], *, first: bool) -> list[int]:
        """What stands after the last quotation of a sentence, or a sentence without any (``first``)."""

        def bad(word: int) -> bool:
            # An announcement of a quotation that does not come says nothing.
            return self._unsupported(word, allowed) or (first and word in self.writings)

        if sum(word in self._shown for word in words) > 1:
            return []  # "изображён изображена": nothing is said
        whole = not any(map(bad, words))
        if whole and (not first or self._prune.has_subject(words)):
            return words
        kept = words if whole else self._prune(words, bad)
        if first and self._is_place(kept):
            return self._place_alone(kept)
        empty = not whole and len(kept) == 1 and kept[0] in self._genre  # "Мем." says nothing
        if empty or not self._prune.has_subject(kept):
            return []
        return [self._comma, *kept] if not first and words[0] == self._comma else kept

    def _place_alone(self, words: list[int]) -> list[int]:
        """ "На фотографии" alone is no sentence; "Фотография" is."""
        nominative = self.tokenizer.ids.get(lemma(self.tokenizer.words[words[-1]]))
        return [] if len(words) > 2 or nominative is None else [nominative]

    def _announces(self, words: list[int]) -> bool:
        return any(word in self.writings for word in words)
