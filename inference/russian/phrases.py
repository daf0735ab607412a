"""Takes single words out of a Russian clause so that what is left is still a clause.

Shallow chunking by part of speech and case (pymorphy3's first parse of a word): an unsupported attribute goes
alone ("в синей рубашке" without "синей" is "в рубашке"), an unsupported noun goes with its preposition and
what hangs on it, an unsupported verb or subject with the rest of its clause. Sentence compression by deleting
constituents is old (Knight and Marcu 2002, doi:10.1016/S0004-3702(02)00222-9); no parser is needed for
captions, whose clauses are short.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from inference.russian.lists import LISTS
from inference.russian.morphology import parses

_NOUNS = frozenset({"NOUN", "NPRO"})
_ATTRIBUTES = frozenset({"ADJF", "PRTF", "NUMR"})
_KINDS = dict.fromkeys(("VERB", "INFN", "PRTS", "PRED"), "verb") | {
    "GRND": "participle",
    "PREP": "preposition",
}
_BREAKS = frozenset({",", "—", "-", "–", "(", ")"})


@dataclass(frozen=True, slots=True)
class _Word:
    """What the chunker knows of a vocabulary's word."""

    kind: str  # noun, verb, participle, attribute, preposition, relative, joint, break, other
    genitive: bool = False
    nominative: bool = False
    participle: bool = False
    either: bool = False  # a noun that may be an attribute too
    counts: bool = False  # a numeral


@dataclass(slots=True)
class _Chunk:
    kind: str  # noun, verb, participle, attribute, relative, other
    tokens: list[int]
    head: int
    preposition: bool = False
    genitive: bool = False
    nominative: bool = False


def _known(word: str) -> _Word:
    if word in _BREAKS or word in LISTS.clauses.joints:
        return _Word("break" if word in _BREAKS else "joint")
    if not word[:1].isalpha():
        return _Word("other")
    tag, normal = (found := parses(word))[0]
    if tag.POS not in _NOUNS and tag.POS != "PREP":
        # "Синей" is an attribute far more often than an order to turn blue.
        tag, normal = next(((tag, form) for tag, form in found if tag.POS in _ATTRIBUTES), (tag, normal))
    nominative = tag.case == "nomn"
    if tag.POS in _NOUNS and normal != LISTS.clauses.relative:
        either = any(tag.POS in _ATTRIBUTES for tag, _ in found)
        known = _Word("noun", genitive=tag.case in ("gent", "gen2"), nominative=nominative, either=either)
    elif tag.POS in _ATTRIBUTES and normal != LISTS.clauses.relative:
        counts = tag.POS == "NUMR"
        known = _Word("attribute", participle=tag.POS == "PRTF", nominative=nominative, counts=counts)
    else:
        known = _Word("relative" if normal == LISTS.clauses.relative else _KINDS.get(str(tag.POS), "other"))
    return known


class Pruner:
    """Knows the words of a vocabulary; token ids outside it (slots) are never passed in. ``unknown``: its
    word that stands for those that it lacks.
    """

    def __init__(self, words: Sequence[str], *, unknown: str) -> None:
        # What nobody knows is most often a noun.
        self._known = [_Word("noun") if word == unknown else _known(word) for word in words]

    def __call__(self, tokens: Sequence[int], bad: Callable[[int], bool]) -> list[int]:
        """``tokens`` of one sentence or of a part of it, no quotations, without those that are ``bad`` and
        what needs them.
        """
        kept: list[int] = []
        joint: list[int] = []
        cut_tail = False  # the end of the clause before went: what is coordinated with it goes too
        for separator, clause in self._clauses(tokens):
            joint = [*joint, *separator]
            chunks = self._chunks(clause)
            if cut_tail and not self._stands_alone(chunks):
                joint = []
                continue
            whole, cut_tail = self._clause(chunks, bad)
            if whole:
                kept += [*(joint if kept else self._leading(joint)), *whole]
            joint = []
        return kept

    def is_noun(self, token: int) -> bool:
        """Whether the word is one (or a pronoun in its place)."""
        return token < len(self._known) and self._known[token].kind == "noun"

    def has_subject(self, tokens: Sequence[int]) -> bool:
        """Whether ``tokens`` (no quotations) name something in the nominative, or a number of something."""
        return any(
            chunk.kind == "noun"
            and not chunk.preposition
            and (chunk.nominative or any(self._known[token].counts for token in chunk.tokens))
            for _, clause in self._clauses(tokens)
            for chunk in self._chunks(clause)
        )

    def _leading(self, joint: Sequence[int]) -> list[int]:
        return [token for token in joint if self._known[token].kind not in ("joint", "break")]

    def _clauses(self, tokens: Sequence[int]) -> list[tuple[list[int], list[int]]]:
        """(what joins it to the one before, its words)."""
        clauses: list[tuple[list[int], list[int]]] = [([], [])]
        for token in tokens:
            if self._known[token].kind in ("joint", "break"):
                if clauses[-1][1]:
                    clauses.append(([], []))
                clauses[-1][0].append(token)
            else:
                clauses[-1][1].append(token)
        return clauses

    @staticmethod
    def _stands_alone(chunks: Sequence[_Chunk]) -> bool:
        """A clause of its own, not one more noun of a row, nor a clause about what went before it."""
        if any(chunk.kind == "relative" for chunk in chunks[:2]):
            return False
        return any(chunk.kind == "verb" for chunk in chunks) or bool(
            chunks and chunks[0].kind == "noun" and chunks[0].nominative and not chunks[0].preposition
        )

    def _chunks(self, tokens: Sequence[int]) -> list[_Chunk]:
        chunks: list[_Chunk] = []
        gathered: list[int] = []  # a preposition and attributes that wait for their noun
        preposition = False

        def flush() -> None:
            nonlocal gathered, preposition
            if gathered:
                kind = "attribute" if not preposition else "other"
                chunks.append(_Chunk(kind, gathered, gathered[-1], preposition))
            gathered, preposition = [], False

        for place, token in enumerate(tokens):
            word = self._known[token]
            if word.kind == "preposition":
                flush()
                gathered, preposition = [token], True
            elif (word.kind == "attribute" and self._noun_follows(tokens[place + 1 :])) or (
                word.either and self._noun_follows(tokens[place + 1 : place + 2])
            ):
                gathered.append(token)
            elif word.kind == "noun":
                hangs = word.genitive and not preposition and bool(chunks) and chunks[-1].kind == "noun"
                chunks.append(_Chunk("noun", [*gathered, token], token, preposition, hangs, word.nominative))
                gathered, preposition = [], False
            else:
                flush()
                kind = "participle" if word.kind == "attribute" and word.participle else word.kind
                chunks.append(_Chunk(kind, [token], token))
        flush()
        return chunks

    def _noun_follows(self, tokens: Sequence[int]) -> bool:
        for token in tokens:
            kind = self._known[token].kind
            if kind == "noun":
                return True
            if kind != "attribute":
                return False
        return False

    def _clause(self, chunks: Sequence[_Chunk], bad: Callable[[int], bool]) -> tuple[list[int], bool]:
        """The words kept, and whether the end of the clause is among those that went."""
        kept: list[_Chunk] = []
        gone = False  # the chunk before went
        for chunk in chunks:
            attached = chunk.kind == "noun" and chunk.genitive
            if gone and attached:
                continue
            if not bad(chunk.head):
                if chunk.kind == "noun" or len(chunk.tokens) > 1:
                    chunk.tokens = [token for token in chunk.tokens if token == chunk.head or not bad(token)]
                kept.append(chunk)
                gone = False
                continue
            gone = True
            if chunk.kind in ("verb", "participle", "relative"):
                return self._finish(kept), True
            if chunk.kind == "noun" and not chunk.preposition and not attached:
                while kept and kept[-1].kind in ("verb", "participle", "relative", "other"):
                    kept.pop()  # a verb without its subject or object
                return self._finish(kept), True
        return self._finish(kept), gone

    def _finish(self, kept: list[_Chunk]) -> list[int]:
        """Without what cannot end a clause."""
        while kept:
            last = kept[-1]
            dangling = last.kind in ("relative", "preposition") or (last.kind == "other" and last.preposition)
            dangling = dangling or (last.kind == "attribute" and len(kept) > 1 and kept[-2].kind != "verb")
            if not dangling:
                break
            kept.pop()
        if kept and kept[0].kind == "relative" and not any(chunk.kind == "verb" for chunk in kept):
            return []
        if not any(chunk.kind in ("noun", "verb", "participle") for chunk in kept):
            return []
        return [token for chunk in kept for token in chunk.tokens]
