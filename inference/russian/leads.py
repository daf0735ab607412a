"""What announces a quotation: "надпись сверху:", "На втором кадре подпись:", "Твит пользователя kot:"."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import pairwise, takewhile

from inference.common.places import Place, Region
from inference.russian.lists import LISTS
from inference.russian.morphology import agreed
from inference.russian.patterns import alternatives
from inference.russian.places import on_frame
from inference.russian.sentences import Piece, Quotation, Sentence, quotes_only, stands_close, tidied

_POST = re.compile(alternatives(LISTS.leads.posts))
# A post and whose it is; names of several words, and those that are no account's, only before a colon.
_ANNOUNCED = re.compile(
    r"\b(?P<post>{}\w*) (?P<user>{})\b(?:(?: [^\s:\".,]+){{0,3}}(?=\s*:)|(?: @?[a-z]\w*| @)?)".format(
        *LISTS.leads.post.split()
    ),
    re.IGNORECASE,
)
_IDLE = re.compile(alternatives(LISTS.leads.idle))


def parsed(pieces: Sequence[Piece]) -> Sentence:
    """A sentence by its parts: the frame that it begins with, the words up to the colon before its first
    quotation, the rest. Short participles are put into the form of what they are said of.
    """
    rest = list(_agreeing(tidied(pieces)))
    place = _frame(rest)
    rest = rest[len(place.split()) :]
    lead = tuple(takewhile(":".__ne__, _words(rest)))
    if rest[len(lead) : len(lead) + 1] != [":"]:
        return Sentence(place, body=tuple(rest))
    return Sentence(place, lead, body=tuple(rest[len(lead) + 1 :]))


def _frame(pieces: Sequence[Piece]) -> str:
    """The frame that a sentence names first: "на втором кадре"; "" where it names none."""
    for name in _frames():
        words = name.split()
        if pieces[: len(words)] == words and pieces[len(words) :] and not stands_close(pieces[len(words)]):
            return name
    return ""


@lru_cache(maxsize=1)
def _frames() -> list[str]:
    return [on_frame(number) for number in range(len(LISTS.numbers.ordinals))]


def _words(pieces: Sequence[Piece]) -> Iterator[str]:
    """Those before the first quotation."""
    for piece in pieces:
        if isinstance(piece, Quotation):
            return
        yield piece


def _agreeing(pieces: Sequence[Piece]) -> Iterator[Piece]:
    for piece, following in pairwise([*pieces, ""]):
        if isinstance(piece, Quotation) or isinstance(following, Quotation):
            yield piece
        else:
            yield agreed(piece, following)


def signed(sentence: Sentence, author: str) -> Sentence:
    """A sentence that announces somebody's post, or words that may be one, says whose it is, or where nobody
    knows that, of no post.
    """
    if not author and sentence.lead == tuple(LISTS.leads.post.split()):
        return replace(sentence, lead=(LISTS.leads.plain,))
    if not author or sentence.place or not _POST.fullmatch(" ".join(sentence.lead)):
        return sentence
    return replace(sentence, lead=tuple(LISTS.leads.post.split()), author=author)


def signed_in(text: str, author: Callable[[str], str]) -> str:
    """A text in which every post is announced by the account that wrote it, as far as that was read:
    ``author`` tells it of the text behind the announcement, "" where nobody knows. Another account that was
    named there is left out.
    """

    def announced(found: re.Match[str]) -> str:
        known = author(text[found.end() :])
        return f"{found['post']} {found['user']} {known}" if known else found["post"]

    return _ANNOUNCED.sub(announced, text)


def led(sentence: Sentence, place: Place | None) -> Sentence:
    """A sentence with the plain lead says where the words stand; others stay as they are."""
    if sentence.place or not _is_plain(sentence.lead):
        return sentence
    if place is not None and place.region is Region.FRAME and place.frame is not None:
        return replace(sentence, place=on_frame(place.frame), lead=(LISTS.leads.plain,))
    lead = LISTS.leads.plain if place is None else LISTS.leads.at.get(place.region, LISTS.leads.plain)
    return replace(sentence, lead=tuple(lead.split()))


def placed_exactly(sentence: Sentence, region: Region, side: str) -> Sentence:
    """A sentence whose lead says no more than where the words stand says it exactly: "надпись сверху слева".

    ``side``: "слева", "справа" or "". Other sentences stay as they are.
    """
    plain = _is_plain(sentence.lead)
    if not plain and not _only_places(sentence.lead):
        return sentence
    lead = LISTS.leads.at.get(region, LISTS.leads.plain).split()
    if not plain:
        lead[0] = sentence.lead[0]
    if region is Region.MIDDLE and not side:
        lead.append(LISTS.places.words[region])
    return replace(sentence, lead=(*lead, *side.split()))


def truly_placed(sentence: Sentence, region: Region) -> Sentence:
    """A sentence whose lead says no more than where the words stand, and they do not, gets the plain one.

    Of a page there are no edges to judge by, and on one frame of several they are its own.
    """
    if region in {Region.PAGE, Region.FRAME} or not _only_places(sentence.lead):
        return sentence
    edges = {edge: set(lead.split()[1:]) for edge, lead in LISTS.leads.at.items()}
    untrue = set().union(*edges.values()) - edges.get(region, set())
    return replace(sentence, lead=(LISTS.leads.plain,)) if untrue & set(sentence.lead) else sentence


def _only_places(lead: Sequence[str]) -> bool:
    """Whether it is a name for words, and where they stand: "текст сверху", "надпись"."""
    noun, *told = lead or ("",)
    return noun in LISTS.captions.writings and set(told) <= LISTS.captions.places


def are_announced_alike(one: Sentence, other: Sentence) -> bool:
    """Whether two sentences that quote, and say nothing else, say the same before that."""
    return (
        bool(one.lead)
        and (one.lead == other.lead or (_is_plain(one.lead) and _is_plain(other.lead)))
        and one.author == other.author
        and quotes_only(one)
        and quotes_only(other)
    )


def unplaced(sentence: Sentence, frame: int) -> Sentence:
    """The sentence without the frame that it begins with, where that was just spoken of."""
    return replace(sentence, place="") if sentence.place == on_frame(frame) else sentence


def _is_plain(lead: Sequence[str]) -> bool:
    """Whether it is the plain one, perhaps behind words that tell nothing: a caption is no thing that a
    picture shows.
    """
    return lead[-1:] == (LISTS.leads.plain,) and all(map(_IDLE.fullmatch, lead[:-1]))
