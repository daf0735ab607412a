"""What of the words on a picture its description has not said: nobody should have to hear a word twice."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

_QUOTATION = re.compile(r'"([^"]*)"|«([^»]*)»|“([^”]*)”|„([^“”]*)[“”]')
_TOKEN = re.compile(r"\S+")
_SIGNS = re.compile(r"\w+")
_ALIKE = 0.6  # share of the letters from which two readings of a few words are taken for the same


@dataclass(frozen=True, slots=True)
class _Word:
    block: int
    start: int  # in the block's text
    end: int
    letters: str


def unquoted(text: str, blocks: Sequence[str]) -> list[str]:
    """What no quotation of a description repeats of the ``blocks`` of words on its picture, in their order.

    A word that the picture has twice must be quoted twice. Capitals, ё and punctuation make no difference,
    nor does the description's own spelling of a few words; an account ("@name") may be named without
    quotation marks. What is left of a block comes in as many pieces as it falls into.
    """
    words = [word for number, block in enumerate(blocks) for word in _words(block, number)]
    named = set(map(_letters, _TOKEN.findall(without_quotations(text))))
    # The words' letters; a number, which equals no letters, where they are said.
    left: list[str | int] = [
        place if blocks[word.block][word.start] == "@" and word.letters in named else word.letters
        for place, word in enumerate(words)
    ]
    # A short quotation could take what a long one needs, and a misspelt one what another spells rightly.
    quotations = sorted(_quotations(text), key=len, reverse=True)
    for misread in [run for said in quotations for run in _strike(left, said)]:
        _strike_alike(words, left, misread)
    runs = list(_runs(words, left))
    return [
        piece
        for number, block in enumerate(blocks)
        for piece in _pieces(
            block,
            [word for word in words if word.block == number],
            [[words[place] for place in run] for run in runs if words[run[0]].block == number],
            text,
        )
    ]


def _pieces(block: str, words: Sequence[_Word], runs: Sequence[Sequence[_Word]], text: str) -> list[str]:
    """The parts of a block where its runs of words stand."""
    whole = block.strip()
    if not words:  # marks alone, such as "?!"
        return [whole] if whole and whole not in text else []
    if len(runs) == 1 and len(runs[0]) == len(words):
        return [whole]
    return [block[run[0].start : run[-1].end] for run in runs]


def _words(block: str, number: int) -> Iterator[_Word]:
    for token in _TOKEN.finditer(block):
        if letters := _letters(token[0]):
            yield _Word(number, token.start(), token.end(), letters)


def _letters(token: str) -> str:
    return "".join(_SIGNS.findall(token)).casefold().replace("ё", "е")


def quotations(text: str) -> list[str]:
    """What stands between quotation marks in a text, in order."""
    return [found[found.lastindex or 0] for found in _QUOTATION.finditer(text)]


def without_quotations(text: str) -> str:
    """A text with a space in the place of each quotation."""
    return _QUOTATION.sub(" ", text)


def _quotations(text: str) -> Iterator[list[str]]:
    """The words of each."""
    for said in quotations(text):
        yield [word.letters for word in _words(said, 0)]


def _strike(left: list[str | int], said: Sequence[str]) -> Iterator[Sequence[str]]:
    """Strike from ``left`` what is said, the longest runs of words first; gives what is not among it."""
    run = SequenceMatcher(None, left, said, autojunk=False).find_longest_match()
    if not run.size:
        if said:
            yield said
        return
    left[run.a : run.a + run.size] = range(run.a, run.a + run.size)
    yield from _strike(left, said[: run.b])
    yield from _strike(left, said[run.b + run.size :])


def _strike_alike(words: Sequence[_Word], left: list[str | int], said: Iterable[str]) -> None:
    """Strike from ``left`` the run of words that is most like what is said, if any is like it."""
    wanted = "".join(said)

    def likeness(run: Sequence[int]) -> float:
        own = "".join(words[place].letters for place in run)
        return SequenceMatcher(None, own, wanted, autojunk=False).ratio()

    best = max(_runs(words, left), key=likeness, default=[])
    if best and likeness(best) >= _ALIKE:
        for place in best:
            left[place] = place


def _runs(words: Sequence[_Word], left: Sequence[str | int]) -> Iterator[list[int]]:
    """The places of what is left, a list for each run of words within a block."""
    run: list[int] = []
    for place, word in enumerate(words):
        unsaid = not isinstance(left[place], int)
        if run and not (unsaid and words[run[-1]].block == word.block):
            yield run
            run = []
        if unsaid:
            run.append(place)
    if run:
        yield run
