"""The word lists that a linguist keeps, ``lists.toml``: read once, checked and typed.

A word more is written into that file alone; a list more gets a field here too, so that a name that is
mistyped there is refused and not passed over.
"""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StrictStr, ValidationError

from inference.common.colours import Colour
from inference.common.errors import UserError
from inference.common.places import Region

FILE = Path(__file__).with_name("lists.toml")

_MIXED = re.compile(r"[a-z][а-яё]|[а-яё][a-z]", re.IGNORECASE)
Listed = TypeVar("Listed", bound=Sequence[object])


def _well_written(word: str) -> str:
    if word != word.strip():
        raise ValueError(f"{word!r} has a space at an end: take it away")
    if _MIXED.search(word):
        raise ValueError(f"{word!r} mixes Latin and Cyrillic letters: write it with those of one alphabet")
    return word


def _not_empty(word: str) -> str:
    if not word:
        raise ValueError("a word is empty: write it or take it away")
    return word


def _distinct(words: Listed) -> Listed:
    twice = [str(word) for word, times in Counter(map(str, words)).items() if times > 1]
    if twice:
        raise ValueError(f"{twice[0]!r} stands there twice: take one away")
    return words


def _with_one_gap(text: str) -> str:
    if text.count("{}") != 1 or set("{}") & set(text.replace("{}", "")):
        raise ValueError(f"{text!r} must have {{}} once, where something is written in")
    return text


def _whole(words: dict[Region, str]) -> dict[Region, str]:
    missing = set(Region) - {Region.FRAME, Region.PAGE} - set(words)
    if missing:
        raise ValueError(f"{min(region.value for region in missing)!r} is missing: add it")
    return words


def _every_colour(words: dict[Colour, str]) -> dict[Colour, str]:
    if missing := set(Colour) - set(words):
        raise ValueError(f"{min(colour.value for colour in missing)!r} is missing: add it")
    return words


Text = Annotated[StrictStr, AfterValidator(_well_written)]
Word = Annotated[Text, AfterValidator(_not_empty)]
Template = Annotated[Text, AfterValidator(_with_one_gap)]
Words = Annotated[frozenset[Word], BeforeValidator(_distinct)]
Row = Annotated[tuple[Word, ...], AfterValidator(_distinct)]  # the order says something
Forms = Annotated[tuple[Word, Word, Word, Word], AfterValidator(_distinct)]
Case = Literal["nomn", "gent", "datv", "accs", "ablt", "loct"]
"""As OpenCorpora, and so pymorphy3, calls the cases."""


Note = Literal[
    "first_frame", "first_page", "partial", "no_reading", "unreadable", "upside_down", "own_reading",
    "other_language",
]  # fmt: skip
"""Of a caption, see :class:`inference.common.types.Caption`."""


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Lexicon(_Table):
    short: Words
    abbreviations: Words


class Numbers(_Table):
    cardinals: Row
    collectives: Row
    more: Template
    ordinals: Row
    ordinal_endings: dict[Literal["nomn", "loct"], Word]


class Clauses(_Table):
    joints: Words
    relative: Word
    language_ending: Word


class Participles(_Table):
    """Rows of masculine, feminine, neuter and plural forms."""

    shown: tuple[Forms, ...]
    others: tuple[Forms, ...]


class Captions(_Table):
    pictures: Words
    bare: Words
    genres: Words
    writings: Words
    places: Words
    placing: Words
    several: Words
    never: Words
    posts: Words
    order: Words
    sides: Words
    languages: Words
    latin: Word
    ground: Word
    ground_colour: Word


class Leads(_Table):
    plain: Word
    idle: Words
    posts: Words
    post: Word
    at: dict[Region, Word]


class Places(_Table):
    frame: Template
    frames: Word
    photo: Word
    drawing: Word
    lower: Word
    one_frame: Word
    left: Word
    right: Word
    rightwards: Word
    downwards: Word
    words: Annotated[dict[Region, Word], AfterValidator(_whole)]


class Things(_Table):
    also: Word
    taken: Word
    more: Word
    someone: Word
    anybody: Word
    unlisted: Words
    lifeless: Words
    body: Words
    same: tuple[Words, ...]
    people: Words
    drawn: Words
    plural: dict[Word, Word]
    sources: dict[Word, Word]
    actions: dict[Word, Text]
    postures: dict[Word, Word]


class Noun(_Table):
    """A countable thing: its forms after one, after two to four, and after five or more.

    ``gender`` "p" is a noun without a singular, counted as in "двое ножниц".
    """

    one: Word
    few: Word
    many: Word
    gender: Literal["m", "f", "n", "p"] = "m"


class Telling(_Table):
    written: Word
    on_frames: Template
    column: Word
    row: Word
    rows: Template
    one_row: Noun
    one_colour: Template
    two_colours: Template
    colourless: Word
    colours: Annotated[dict[Colour, Word], AfterValidator(_every_colour)]


class Summary(_Table):
    several: Template
    picture: Word
    page: Word
    post: Word
    with_picture: Word
    without_words: Word
    with_one: Word
    with_several: Word
    latin_post: Word
    latin_picture: Word
    latin_page: Word


class Inscriptions(_Table):
    one: Word
    several: Word
    meaning: Word


class Sites(_Table):
    """Patterns, see :mod:`inference.russian.patterns`."""

    months: Words
    days: Words
    at: Words
    year: Words
    units: Words
    reactions: Words
    counted: Words
    ago: Words
    links: Words
    buttons: Words
    reply: Word
    answer: Word
    domains: Words


class Chat(_Table):
    courtesies: Words
    heralds: Words
    farewells: Words


class Answers(_Table):
    short: Words
    detailed: Words
    doubt: Word
    words: Word
    other_words: Word
    notes: dict[Note, Word]


class Objects(_Table):
    none: Word


class Lists(_Table):
    """All of ``lists.toml``, which says what each list is for."""

    lexicon: Lexicon
    numbers: Numbers
    prepositions: dict[Word, Annotated[frozenset[Case], BeforeValidator(_distinct), Field(min_length=1)]]
    clauses: Clauses
    participles: Participles
    captions: Captions
    leads: Leads
    places: Places
    things: Things
    telling: Telling
    summary: Summary
    inscriptions: Inscriptions
    sites: Sites
    chat: Chat
    answers: Answers
    objects: Objects
    coco: dict[Word, Noun]


def read_lists(path: Path = FILE) -> Lists:
    """The lists of a file. Raises UserError, which names the list that is wrong, and why."""
    try:
        return Lists.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UserError(f"The word lists {path.name} cannot be read: {error}.") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        said = first["msg"].removeprefix("Value error, ")
        raise UserError(f"The word lists {path.name} have a mistake in {where}: {said}.") from error


LISTS = read_lists()
