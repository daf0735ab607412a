"""What the rendered lines say: words of memes, captions and dictionaries, in the cases of memes; signs,
numbers and addresses by the lines of ``lines.toml``.
"""

from __future__ import annotations

import random
import re
import tomllib
from bisect import bisect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate, islice
from pathlib import Path
from typing import Any

import pymorphy3
from spellchecker import SpellChecker

from inference.russian.lexicon import ukrainian_words
from train_scripts.meme_small.quotes import quoted_spans

LINES_FILE = Path(__file__).with_name("lines.toml")

_CYRILLIC = "абвгдежзийклмнопрстуфхцчшщъыьэюяё"
_NEIGHBOURS = "іїєґў"  # what Ukrainian and Belarusian have beside the Russian letters
_SIGNS = "«»—…№₽€°•©×÷±≈≠≤≥→²³£¢₴"
CHARACTERS = (
    " " + "".join(map(chr, range(33, 127))) + _CYRILLIC + _CYRILLIC.upper() + _SIGNS + _NEIGHBOURS
) + _NEIGHBOURS.upper()
_KNOWN = frozenset(CHARACTERS)
_ALIKE = str.maketrans(
    {
        **{
            "–": "—",
            "−": "-",
            "‑": "-",
            "“": '"',
            "”": '"',
            "„": '"',
            "’": "'",
            "‘": "'",
            "`": "'",
            "ʼ": "'",
        },
        **{"ʼ": "'", "\u00a0": " ", "º": "°", "⋅": "•", "·": "•", "⟶": "→", "➔": "→", "➜": "→"},
    }
)
_EVERY = 37  # of the word forms of the Russian dictionary
_EVERY_UKRAINIAN = 251  # of the larger Ukrainian one
_ENGLISH = 30_000  # most frequent words
_LONGEST = 60  # characters


def clean(text: str) -> str:
    """The text in the characters that the recogniser knows; others are left out."""
    spaced = re.sub(r"\s+", " ", text.translate(_ALIKE)).strip()
    return "".join(character for character in spaced if character in _KNOWN)


@lru_cache(maxsize=1)
def _lines() -> Mapping[str, Any]:
    return tomllib.loads(LINES_FILE.read_text(encoding="utf-8"))


@dataclass(frozen=True)
class Corpus:
    """Where the words come from."""

    quotes: Sequence[str]
    descriptions: Sequence[str]
    captions: Sequence[str]
    russian: Sequence[str]
    ukrainian: Sequence[str]
    english: Sequence[str]
    english_weights: Sequence[float]  # cumulated

    def english_word(self, generator: random.Random) -> str:
        place = bisect(self.english_weights, generator.random() * self.english_weights[-1])
        return self.english[min(place, len(self.english) - 1)]


def build_corpus(descriptions: Sequence[str], captions: Sequence[str]) -> Corpus:
    """From descriptions of memes (their quotes, and the rest), captions of photos, and the dictionaries."""
    quotes = [clean(span.text) for text in descriptions for span in quoted_spans(text)]
    counted = SpellChecker(language="en").word_frequency.dictionary
    frequent = sorted(
        ((count, word) for word, count in counted.items() if len(word) > 1 and word.isascii()), reverse=True
    )[:_ENGLISH]
    frequent += [(3_000_000, "i"), (4_000_000, "a")]
    return Corpus(
        quotes=[quote for quote in quotes if len(quote) > 1],
        descriptions=[clean(text) for text in descriptions],
        captions=[clean(text) for text in captions],
        russian=_every(_EVERY, pymorphy3.MorphAnalyzer(lang="ru").dictionary.words.iterkeys()),
        ukrainian=_every(_EVERY_UKRAINIAN, ukrainian_words().iterkeys()),
        english=[word for _, word in frequent],
        english_weights=list(accumulate(count**0.7 for count, _ in frequent)),
    )


def _every(step: int, forms: Iterable[str]) -> list[str]:
    return list(islice(forms, 0, None, step))


def line_of_text(generator: random.Random, corpus: Corpus) -> str:
    """One line as it may stand on a meme, at most 60 characters."""
    weights: Mapping[str, float] = _lines()["kinds"]
    kind = generator.choices(list(weights), list(weights.values()))[0]
    if kind == "line":
        text = _line(generator, corpus)
        text = text.upper() if generator.random() < 0.15 else text
        return clean(text)[:_LONGEST].strip() or "да"
    text = _case(generator, _words(kind, generator, corpus))
    if generator.random() < 0.2:
        text += generator.choice([".", "!", "?", "...", ",", ":", " -", "!!", "?!", ")", " —", '"'])
    if generator.random() < 0.06:
        text = generator.choice(["- ", "— ", '"', "(", "«", "• ", "* "]) + text
    if generator.random() < 0.03:
        text = f'"{text}"'
    return clean(text)[:_LONGEST].strip() or "да"


def _words(kind: str, generator: random.Random, corpus: Corpus) -> str:
    running = {
        "quote": (corpus.quotes, 7),
        "description": (corpus.descriptions, 6),
        "caption": (corpus.captions, 6),
    }
    if kind in running:
        texts, most = running[kind]
        return _window(generator, generator.choice(texts or corpus.russian), most)
    if kind == "russian":
        return " ".join(generator.choice(corpus.russian) for _ in range(generator.randint(1, 4)))
    if kind == "ukrainian":
        return _held_together(generator, _lines()["words"]["ukrainian"], corpus.ukrainian)
    if kind == "belarusian":
        made = [in_belarusian(generator.choice(corpus.russian)) for _ in range(3)]
        return _held_together(generator, _lines()["words"]["belarusian"], made)
    text = " ".join(corpus.english_word(generator) for _ in range(generator.randint(1, 7)))
    return re.sub(r"\bi\b", "I", text[0].upper() + text[1:] if generator.random() < 0.4 else text)


def _held_together(generator: random.Random, frequent: Sequence[str], others: Sequence[str]) -> str:
    return " ".join(
        generator.choice(frequent if generator.random() < 0.5 else others)
        for _ in range(generator.randint(1, 5))
    )


def in_belarusian(word: str) -> str:
    """A Russian word as Belarusian spells: no word of it, but its letters as they follow each other."""
    for pattern, replaced in (
        ("щ", "шч"),
        ("и", "і"),
        ("ться$", "цца"),
        ("ть$", "ць"),
        ("т(?=[іеё])", "ц"),
        ("д(?=[іеё])", "дз"),
        ("(?<=[аеёоуыэюяі])[вл](?=[^аеёоуыэюяіьйл]|$)", "ў"),
        ("ъ", "'"),
        ("э?того$", "гэтага"),
    ):
        word = re.sub(pattern, replaced, word)
    return word


def _line(generator: random.Random, corpus: Corpus) -> str:
    """A line of ``lines.toml`` with its names in braces replaced."""
    groups: Mapping[str, Sequence[str]] = _lines()["lines"]
    words: Mapping[str, Sequence[str]] = _lines()["words"]

    def number() -> str:
        return str(generator.randint(0, 12))

    def algebra() -> str:
        return generator.choice(words["algebra"])

    def russian() -> str:
        return generator.choice(corpus.russian)

    def english() -> str:
        return corpus.english_word(generator)

    made: Mapping[str, Callable[[], str]] = {
        "n": number,
        "d": lambda: f"{generator.randrange(100):02d}",
        "ddd": lambda: str(generator.randint(100, 999)),
        "N": lambda: str(int(10 ** generator.uniform(1.5, 5.5))),
        "x": algebra,
        "i": lambda: algebra() if generator.random() < 0.4 else number(),
        "L": lambda: generator.choice(_CYRILLIC).upper(),
        "E": lambda: generator.choice("ABCDEFGHIJKLMNOPQRSTUVWXYZ"),
        "ru": russian,
        "Ru": lambda: russian().capitalize(),
        "RU": lambda: russian().upper(),
        "en": english,
        "En": lambda: english().capitalize(),
        "tld": lambda: generator.choice(words["tld"]),
        "ext": lambda: generator.choice(words["ext"]),
    }
    pattern = generator.choice([pattern for group in groups.values() for pattern in group])
    filled = re.sub(r"(?<!\{)\{(\w+)\}(?!\})", lambda name: made[name[1]](), pattern)
    return filled.replace("{{", "{").replace("}}", "}")


def _window(generator: random.Random, text: str, most: int) -> str:
    words = text.split(" ")
    count = generator.randint(1, most)
    start = generator.randrange(max(1, len(words) - count + 1))
    return " ".join(words[start : start + count])


def _case(generator: random.Random, text: str) -> str:
    chance = generator.random()
    if chance < 0.36:
        return text.upper()
    if chance < 0.45:
        return text.lower()
    return text[:1].upper() + text[1:] if chance < 0.52 else text
