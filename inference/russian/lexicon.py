"""Is this a word of Russian, Ukrainian or English? A reader's guess is worth more when it is."""

from __future__ import annotations

import gzip
import json
import re
from collections import defaultdict
from collections.abc import Mapping
from functools import lru_cache
from importlib import resources
from pathlib import Path

import pymorphy3_dicts_uk
from pymorphy3.dawg import WordsDawg

from inference.russian.lists import LISTS
from inference.russian.morphology import in_dictionary

_NEIGHBOURS = "іїєґў"  # letters that Ukrainian or Belarusian have beside the Russian ones
CYRILLIC = re.compile(rf"^[а-яё{_NEIGHBOURS}]+(?:[-'’][а-яё{_NEIGHBOURS}]+)*$", re.IGNORECASE)
LATIN = re.compile(r"^[a-z]+(?:['’-][a-z]+)*$", re.IGNORECASE)
_CYRILLIC_LETTER = re.compile(rf"[а-яё{_NEIGHBOURS}]", re.IGNORECASE)
_NEIGHBOUR_LETTER = re.compile(f"[{_NEIGHBOURS}]", re.IGNORECASE)
_LATIN_LETTER = re.compile(r"[a-z]", re.IGNORECASE)

# Letters that look alike in both alphabets; a reader mixes them within one word.
_LATIN_LOOKALIKES = str.maketrans("aceopxyABCEHKMOPTXY", "асеорхуАВСЕНКМОРТХУ")
# More of them this way: a reader of Russian takes "my" for "ту", "on" for "оп".
_CYRILLIC_LOOKALIKES = str.maketrans("асеорхутпикгіАВСЕНКМОРТХУІ", "aceopxymnukriABCEHKMOPTXYI")
# Of a word that mixes both: "сiль" is Ukrainian. By itself "I" is English, and a Roman numeral.
_NEIGHBOUR_LOOKALIKES = str.maketrans("aceopxyiABCEHKMOPTXYI", "асеорхуіАВСЕНКМОРТХУІ")

_NUMBER = re.compile(r"^([\dЗзОоOo]+)[дД]?$")
_DIGITS = str.maketrans("ЗзОоOo", "330000")

EDGES = "".join(chr(c) for c in range(33, 48)) + ":;<=>?@[\\]^_`{|}~«»“”„‘’—–…•·|©®™°×÷±≈≠≤≥→"


@lru_cache(maxsize=1)
def ukrainian_words() -> WordsDawg:
    """Every word form of the Ukrainian dictionary, small letters, apostrophes as "'"."""
    # Not by a MorphAnalyzer: a second language's gives the first one's tags its own grammemes.
    words = WordsDawg()
    words.load(str(Path(pymorphy3_dicts_uk.get_path()) / "words.dawg"))
    return words


@lru_cache(maxsize=1)
def _english() -> Mapping[str, str]:
    """The words of pyspellchecker's English dictionary, in small letters: by their first letter one text with
    a line each. So they take 2 MB; its own object, which knows how often each is written, takes 34.
    """
    file = resources.files("spellchecker") / "resources" / "en.json.gz"
    by_letter: defaultdict[str, list[str]] = defaultdict(list)
    for word in json.loads(gzip.decompress(file.read_bytes())):
        by_letter[word[0]].append(word)
    return {letter: "\n".join(["", *words, ""]) for letter, words in by_letter.items()}


def load_dictionaries() -> None:
    """Reads all three now and not with the first word that is looked up."""
    in_dictionary("")
    ukrainian_words()
    _english()


def bare(token: str) -> str:
    """The token without the punctuation around it."""
    return token.strip(EDGES)


@lru_cache(maxsize=65536)
def is_known(word: str) -> bool:
    """Whether a bare word (no punctuation around it) is in the Russian or the English dictionary, or has
    letters of Ukrainian or Belarusian and is a word there.
    """
    lowered = word.lower()
    if len(lowered) <= 2:
        return lowered in LISTS.lexicon.short or (len(lowered) == 2 and _is_listed(lowered))
    return _is_listed(lowered)


def _is_listed(lowered: str) -> bool:
    if CYRILLIC.match(lowered) and (has_neighbour_letters(lowered) or "'" in lowered or "’" in lowered):
        # There is no dictionary of Belarusian: the letter that only it has must do.
        return "ў" in lowered or lowered.replace("’", "'") in ukrainian_words()
    if CYRILLIC.match(lowered):
        return in_dictionary(lowered)
    if LATIN.match(lowered):
        word = lowered.replace("’", "'")
        return f"\n{word}\n" in _english().get(word[0], "")
    return False


def has_neighbour_letters(text: str) -> bool:
    """Whether a letter stands in it that Ukrainian or Belarusian have and Russian has not."""
    return bool(_NEIGHBOUR_LETTER.search(text))


def script(word: str) -> str:
    """``cyrillic``, ``latin``, ``mixed`` or ``none`` (no letters)."""
    cyrillic, latin = bool(_CYRILLIC_LETTER.search(word)), bool(_LATIN_LETTER.search(word))
    if cyrillic and latin:
        return "mixed"
    return "cyrillic" if cyrillic else "latin" if latin else "none"


def one_alphabet(token: str, *, prefer_cyrillic: bool) -> str:
    """Undo look-alike letters of the other alphabet in one token, where that gives a word of one alphabet.

    Of a token that mixes both, a known word is preferred ("кoт" is no "kom", even on an English picture).
    A token of one alphabet is only changed when the other spelling is a known word and this one is not
    ("ком" read as "KOM" on a Russian picture).
    """
    kind = script(token)
    if kind == "none":
        return token
    as_cyrillic, as_latin = token.translate(_LATIN_LOOKALIKES), token.translate(_CYRILLIC_LOOKALIKES)
    if kind == "mixed":
        likeliest = (as_cyrillic, as_latin) if prefer_cyrillic else (as_latin, as_cyrillic)
        candidates = (*likeliest, token.translate(_NEIGHBOUR_LOOKALIKES))
        pure = [candidate for candidate in candidates if script(candidate) != "mixed"]
        return next((candidate for candidate in pure if is_known(bare(candidate))), (*pure, token)[0])
    other = as_cyrillic if kind == "latin" else as_latin
    if kind == "latin" and prefer_cyrillic and script(other) == "cyrillic":
        short = len(bare(token)) <= 2
        if (short and is_known(bare(other))) or (is_known(bare(other)) and not is_known(bare(token))):
            return other
    if kind == "cyrillic" and not prefer_cyrillic and script(other) == "latin":
        short = len(bare(token)) <= 2
        return other if is_known(bare(other)) and (short or not is_known(bare(token))) else token
    return token


def as_latin(text: str) -> str:
    """Cyrillic letters as the Latin ones that they look like, others as they are."""
    return text.translate(_CYRILLIC_LOOKALIKES)


def digits(token: str) -> str:
    """Undo letters taken for digits they look like, and "l" for "I": "в З ночи", "15ооо", "ЗД", "l have"."""
    core = bare(token)
    if core == "l":
        return token.replace("l", "I")
    number = _NUMBER.match(core)
    if (
        not number
        or is_known(core)
        or not ((core[0].lower() == "з" and len(core) <= 2) or any(map(str.isdigit, core)))
    ):
        return token
    read = number[1].translate(_DIGITS)
    return token.replace(core, read + core[len(read) :])
