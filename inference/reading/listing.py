"""What stands on a picture, whether or not a person would quote it: all that was read surely, except the
furniture of sites and telephones.

A number in a table, the answers of a quiz, a letter on a key are no message by themselves, so the line scorer
refuses them; yet whoever cannot see the picture wants to know of them. The time in a chat and the counters
under a post are read as surely: their size, their place and what stands beside them tell them apart.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from statistics import median

from rapidfuzz import fuzz

from inference.reading.accounts import is_author
from inference.reading.candidates import ROUND, Candidate, candidate
from inference.reading.geometry import distance, shared_span
from inference.reading.layout import is_number
from inference.reading.lines import ReadLine
from inference.reading.scorer import Scored, is_furniture
from inference.reading.words import Word
from inference.reading.writing import written
from inference.russian.lexicon import as_latin, bare, is_known
from inference.russian.lists import LISTS
from inference.russian.patterns import alternatives

_SURE = 0.8  # mean confidence of letters from which a line was read surely
_SURE_ALONE = 0.7  # the same of one letter or digit: nothing beside it could be wrong
_SURE_NO_WORD = 0.9  # of letters that make no word
_SURE_SIMPLE = 0.9  # of signs that everything round or straight looks like
_FAINT = 0.4  # of one letter that stands in a row of sure ones
_FAINT_ROUND = 0.35  # the same of round signs: five characters share what the recogniser is sure of
_SIMPLE = frozenset("оОoO0QС1IlІi|!гГvVxXхХ")
_SLENDER = 0.97  # a nought is higher than wide, a circle is not
_THIN = 0.7  # of the other letters' height: a straight thing that is smaller is no letter

_SMALLER = 0.92  # of the message's height: a time beside it, a counter
_AS_LARGE = 1.15  # the same of what only a site says
_MARK = 0.6  # the same of the address of a site, anywhere; at an edge it may be larger
_EDGE = 0.06  # of the picture's sides
_TINY = 0.05  # of the shorter side: an address on a picture without other words
_NEAR = 2.5  # letter heights between a message and its time
_CHATTING = 10  # minutes between the messages of a chat; a timetable has more
_BAR, _BAR_HEIGHT = 0.06, 0.045  # of the picture's height: the bar on the top of a telephone's screen
_BAR_LETTERS = 12
_SMALL_PRINT = 0.06  # of the longer side: what is larger is no counter
_COUNTERS = 4  # at most, in a row under a post

_ALIKE = 70  # per cent: small print is seldom read letter by letter
_SITES = LISTS.sites
_UNIT = rf"(?:{alternatives(_SITES.units)}|[KКMМ])?"
_MONTH = rf"(?:{alternatives(_SITES.months)}|jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[а-яa-z]*\.?"
_TIME = r"\d{1,2}[:.]\d{2}(?:[:.]\d{2})?(?:\s*[ap]\.?m\.?)?"
_YEAR = r"(?:,?\s*\d{4})?"
_DATE = (
    rf"(?:\d{{1,4}}[./-]\d{{1,2}}[./-]\d{{1,4}}"
    rf"|\d{{1,2}}\s*{_MONTH}{_YEAR}(?:\s*{alternatives(_SITES.year)})?"
    rf"|{_MONTH}\s*\d{{1,2}}{_YEAR}|{alternatives(_SITES.days)}|yesterday|today)"
)
_REST = rf"\W*(?:(?:[^\W\d]{{1,2}}|{_SITES.reply}|reply)\W*)?"  # a button, or the ticks of a message
_CLOCK = re.compile(rf"\W*(\d{{1,2}})[:.,](\d{{2}})(?:[:.]\d{{2}})?(?:\s*[ap]\.?m\.?)?{_REST}", re.IGNORECASE)
_AT = rf"(?:(?:{alternatives(_SITES.at)}|at|on)\s+)?"
_STAMP = re.compile(rf"\W*(?:{_TIME}\W*{_AT}{_DATE}|{_DATE}\W*{_AT}{_TIME}){_REST}", re.IGNORECASE)
_PLAYED = re.compile(r"\W*\d{1,2}:\d{2}\s*/\s*\d{1,2}:\d{2}\W*")
_CHARGE = re.compile(r"\W*\d{1,3}\s*%\W*")
_COUNT = re.compile(rf"\W*\d{{1,3}}(?:[\s.,]?\d{{1,3}})*\s*(?P<unit>{_UNIT})\W*", re.IGNORECASE)
_SITE = re.compile(
    rf"\W*\d[\d\s.,]*{_UNIT}\s*(?:{alternatives(_SITES.counted)}|(?:view|comment|repl|follow|share)\w*)\W*"
    rf"|\W*(?:{alternatives(_SITES.buttons)}|reply|like|share|follow|translate tweet)\W*",
    re.IGNORECASE,
)
_ADDRESS = re.compile(
    rf"(?:^|\s)@\s?\w{{3,}}|^[ur]/\w+|www\.|\w\.(?:com|ru|net|org|me|tv|info|co|{alternatives(_SITES.domains)})\b",
    re.IGNORECASE,
)
_MARKS = (
    "imgflip.com",
    "9gag.com",
    "memegenerator.net",
    "ifunny.co",
    "mematic",
    "pikabu.ru",
    "joyreactor.cc",
)


@dataclass(frozen=True, slots=True)
class Selected:
    """Two selections of a picture's lines, unordered."""

    message: tuple[ReadLine, ...]  # that a description may quote
    listed: tuple[ReadLine, ...]  # these, and all that was read surely and is no furniture


def select(found: Scored) -> Selected:
    """The lines of a picture that are print, as people write them."""
    lines, quoted = found.lines, set(found.quoted)
    page = _Page.of(lines, [lines[place] for place in found.quoted], found.size)
    sure = {place for place, line in enumerate(lines) if place in quoted or _is_sure(line, page.height)}
    furniture = {place for place in sure - quoted if _is_furniture(lines[place], page)}
    furniture |= _beside([lines[place] for place in furniture], lines, sure - furniture - quoted)
    shown = [place for place in range(len(lines)) if place in sure - furniture]
    # Letters too faint to be believed alone: in a row of sure ones they are the row's.
    faint = [candidate(part) for part in found.pieces if len(part) == 1 and _is_faint(part[0])]
    faint = [line for line in faint if all(line.box != lines[place].box for place in sure)]
    faint = _in_company(faint, [lines[place] for place in shown])
    every = [*lines, *faint]
    shown += range(len(lines), len(every))
    scores = [*found.scores, *(0.0 for _ in faint)]
    spelt = dict(zip(shown, written(every, scores, shown, found.quoted or shown), strict=True))
    authors = {line.author.lower() for line in spelt.values() if line.author}
    return Selected(
        tuple(spelt[place] for place in found.quoted),
        tuple(
            line
            for place, line in spelt.items()
            # Who wrote a post is said once, as its author.
            if place in quoted or not is_author(every[place], lines, authors)
        ),
    )


@dataclass(frozen=True, slots=True)
class _Page:
    """What the lines of one picture are compared with."""

    size: tuple[int, int]
    lines: Sequence[Candidate]
    message: Sequence[Candidate]  # the lines of words
    height: float | None  # of the message's letters, in pixels; None: there are no words

    @staticmethod
    def of(lines: Sequence[Candidate], quoted: Sequence[Candidate], size: tuple[int, int]) -> _Page:
        message = [line for line in quoted if sum(map(str.isalpha, line.text)) >= 3]
        return _Page(size, lines, message, median(line.height for line in message) if message else None)


def _signs(text: str) -> str:
    return "".join(filter(str.isalnum, text))


def confidence(words: Iterable[Word]) -> float:
    """The mean confidence of the letters of some words (at least one), 0..1."""
    pairs = [(word.confidence, len(word.text)) for word in words]
    return sum(sure * letters for sure, letters in pairs) / sum(letters for _, letters in pairs)


def _is_sure(line: Candidate, height: float | None) -> bool:
    """Whether a line is print that was read rightly, by the recogniser's own confidence: anything may look
    like a circle or a stroke, a word of the dictionary is seldom there by chance.
    """
    signs = _signs(line.text)
    if not signs:
        return False
    own = confidence(line.words)
    if set(signs) <= _SIMPLE and not (len(signs) > 1 and signs.isdigit()):
        large = height is None or set(signs) <= ROUND or line.height >= _THIN * height
        return own >= _SURE_SIMPLE and large
    if len(signs) == 1:
        return own >= _SURE_ALONE
    known = any(is_known(bare(word.text)) for word in line.words) or any(map(str.isdigit, signs))
    return own >= (_SURE if known or len(signs) == 2 else _SURE_NO_WORD)


def _is_faint(word: Word) -> bool:
    least = _FAINT_ROUND if word.text in ROUND else _FAINT
    return word.confidence >= least and len(_signs(word.text)) == 1 and len(bare(word.text)) == 1


def _in_company(faint: Sequence[Candidate], shown: Sequence[Candidate]) -> list[Candidate]:
    """Those of the faint letters that stand in a row or a column of sure ones of their size: the keys of a
    keyboard, the cells of a crossword, the nought of a score.
    """
    single = [line for line in shown if len(_signs(line.text)) == 1 or is_number(line.text)]
    found = []
    for line in faint:
        for axis in (0, 1):
            company = [other for other in single if _in_row(line, other, axis)]
            doubtful = sum(_in_row(line, other, axis) for other in faint)  # itself is one
            if not company or doubtful > 2 * len(company):
                continue
            numbers = all(any(map(str.isdigit, other.text)) for other in company)
            left, top, right, bottom = line.box
            if line.text in ROUND and numbers:
                if right - left > _SLENDER * (bottom - top):
                    continue
                word = line.words[0]
                line = replace(line, words=(replace(word, text="0"),))  # noqa: PLW2901
            found.append(line)
            break
    return found


def _in_row(line: Candidate, other: Candidate, axis: int) -> bool:
    """Whether two lines of like size stand in one row (``axis`` 1) or one column (0)."""
    alike = max(line.height, other.height) < 1.4 * min(line.height, other.height)
    return alike and shared_span(*line.box[axis::2], *other.box[axis::2]) > 0.5


def _is_furniture(line: Candidate, page: _Page) -> bool:
    """Whether a line belongs to the site or the telephone, not to what is shown: by what it says and, where
    the same could be said by the picture, by its size and its place.
    """
    text = line.text
    if is_furniture(text) or _in_bar(line, page) or _is_mark(line, page):
        return True
    if page.height is None or line.height >= _AS_LARGE * page.height:
        return False
    if _SITE.fullmatch(text) or _STAMP.fullmatch(text) or _STAMP.fullmatch(as_latin(text).replace("м", "m")):
        return True
    clock = _CLOCK.fullmatch(text) is not None
    if line.height >= _SMALLER * page.height:
        return clock and _is_chat(page)
    return bool(_PLAYED.fullmatch(text)) or (clock and _is_of_message(line, page)) or _is_counter(line, page)


def _minutes(text: str) -> int | None:
    clock = _CLOCK.fullmatch(text)
    return 60 * int(clock[1]) + int(clock[2]) if clock and int(clock[1]) < 24 else None


def _is_chat(page: _Page) -> bool:
    """Whether the times on a picture are of a chat's messages: some, minutes apart."""
    times = sorted(time for line in page.lines if (time := _minutes(line.text)) is not None)
    return len(times) > 1 and median(late - early for early, late in pairwise(times)) < _CHATTING


def _is_of_message(clock: Candidate, page: _Page) -> bool:
    """Whether a small time stands at a message, and not before it, as in a timetable."""
    if sum(_CLOCK.fullmatch(line.text) is not None for line in page.lines) > 1:
        return _is_chat(page)
    near = [line for line in page.message if distance(clock.box, line.box) < _NEAR * line.height]
    return bool(near) and not any(
        _in_row(clock, line, 1) and clock.box[2] <= line.box[0] + line.height / 2 for line in near
    )


def _in_bar(line: Candidate, page: _Page) -> bool:
    """Whether a line is the time or the charge in the bar on the top of a telephone's screen."""
    width, height = page.size
    if height <= width or not (_CLOCK.fullmatch(line.text) or _CHARGE.fullmatch(line.text)):
        return False
    low = (line.box[1] + line.box[3]) / 2 < _BAR * height and line.height < _BAR_HEIGHT * height
    return low and (page.height is None or line.height < 1.1 * page.height)


def _is_mark(line: Candidate, page: _Page) -> bool:
    """Whether a line is the mark of the site that a picture comes from: an address, small, at an edge."""
    text = as_latin(line.text).lower().strip()
    if not (_ADDRESS.search(text) or any(fuzz.ratio(text, mark) >= _ALIKE for mark in _MARKS)):
        return False
    width, height = page.size
    left, top, right, bottom = line.box
    sides = (left / width, top / height, 1 - right / width, 1 - bottom / height)
    if page.height is None:
        return min(sides) < _EDGE and line.height < _TINY * min(page.size)
    return line.height < (_SMALLER if min(sides) < _EDGE else _MARK) * page.height


def _is_counter(line: Candidate, page: _Page) -> bool:
    """Whether a line counts what people did with the post above it: a few numbers in a row of their own."""
    count = _COUNT.fullmatch(line.text)
    if count is None or line.height > _SMALL_PRINT * max(page.size):
        return False
    if not any(other.box[3] < line.box[1] + line.height / 2 for other in page.message):
        return False
    row = [other for other in page.lines if _in_row(line, other, 1)]
    if any(_COUNT.fullmatch(other.text) is None for other in row):
        return False
    if count["unit"]:
        return True
    numbers = sum(bool(_COUNT.fullmatch(other.text)) for other in page.lines)
    return 2 <= len(row) <= _COUNTERS and numbers == len(row)


def _beside(furniture: Sequence[Candidate], lines: Sequence[Candidate], places: Iterable[int]) -> set[int]:
    """Those of ``places`` whose lines stand in a row with furniture and say as little: the operator's name
    beside the time, the number of answers beside a button.
    """
    return {
        place
        for place in places
        if len(lines[place].text) <= _BAR_LETTERS
        and len(lines[place].words) <= 2
        and any(_in_row(lines[place], other, 1) for other in furniture)
    }
