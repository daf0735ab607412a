"""What the rendered lines say: words of memes, captions and dictionaries, in the cases of memes."""

from __future__ import annotations

import random
import re
from bisect import bisect
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import pymorphy3
from spellchecker import SpellChecker

from train_scripts.meme_small.quotes import quoted_spans

_CYRILLIC = "абвгдежзийклмнопрстуфхцчшщъыьэюяё"
CHARACTERS = " " + "".join(map(chr, range(33, 127))) + _CYRILLIC + _CYRILLIC.upper() + "«»—…№₽€°•©"
_KNOWN = frozenset(CHARACTERS)
_ALIKE = str.maketrans(
    {"–": "—", "−": "-", "‑": "-", "“": '"', "”": '"', "„": '"', "’": "'", "‘": "'", "`": "'", "\u00a0": " "}
)
_EVERY = 37  # of the word forms of the Russian dictionary
_ENGLISH = 30_000  # most frequent words
_LONGEST = 60  # characters
_NUMBERS = (
    "{}:{:02d}",
    "{}.{:02d}.20",
    "{} {:02d}0",
    "{},{}",
    "{}%",
    "-{}",
    "№{}",
    "{} руб.",
    "{} лет",
    "{}-{}",
    "${}",
    "{} часов",
    "{} из {}",
    "20{}",
)


def clean(text: str) -> str:
    """The text in the characters that the recogniser knows; others are left out."""
    spaced = re.sub(r"\s+", " ", text.translate(_ALIKE)).strip()
    return "".join(character for character in spaced if character in _KNOWN)


@dataclass(frozen=True)
class Corpus:
    """Where the words come from."""

    quotes: Sequence[str]
    descriptions: Sequence[str]
    captions: Sequence[str]
    russian: Sequence[str]
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
    forms = pymorphy3.MorphAnalyzer(lang="ru").dictionary.words.iterkeys()
    return Corpus(
        quotes=[quote for quote in quotes if len(quote) > 1],
        descriptions=[clean(text) for text in descriptions],
        captions=[clean(text) for text in captions],
        russian=[form for number, form in enumerate(forms) if number % _EVERY == 0],
        english=[word for _, word in frequent],
        english_weights=list(accumulate(count**0.7 for count, _ in frequent)),
    )


def line_of_text(generator: random.Random, corpus: Corpus) -> str:
    """One line as it may stand on a meme, at most 60 characters."""
    text = _case(generator, _words(generator, corpus))
    if generator.random() < 0.2:
        text += generator.choice([".", "!", "?", "...", ",", ":", " -", "!!", "?!", ")", " —", '"'])
    if generator.random() < 0.06:
        text = generator.choice(["- ", "— ", '"', "(", "«", "• ", "* "]) + text
    if generator.random() < 0.03:
        text = f'"{text}"'
    return clean(text)[:_LONGEST].strip() or "да"


def _words(generator: random.Random, corpus: Corpus) -> str:
    kind = generator.choices(
        ["quote", "description", "caption", "russian", "english", "sign"], [42, 8, 12, 16, 15, 7]
    )[0]
    if kind == "quote":
        return _window(generator, generator.choice(corpus.quotes or corpus.russian), 7)
    if kind == "description":
        return _window(generator, generator.choice(corpus.descriptions or corpus.russian), 6)
    if kind == "caption":
        return _window(generator, generator.choice(corpus.captions or corpus.russian), 6)
    if kind == "russian":
        return " ".join(generator.choice(corpus.russian) for _ in range(generator.randint(1, 4)))
    if kind == "english":
        text = " ".join(corpus.english_word(generator) for _ in range(generator.randint(1, 7)))
        return re.sub(r"\bi\b", "I", text[0].upper() + text[1:] if generator.random() < 0.4 else text)
    return _sign(generator, corpus)


def _sign(generator: random.Random, corpus: Corpus) -> str:
    """Names, numbers, times, and lines of two languages."""
    chance = generator.random()
    if chance < 0.3:
        first, last = corpus.english_word(generator), corpus.english_word(generator)
        return f"@{first}{generator.choice(['', '_', '.'])}{last}{generator.choice(['', '1', '22', '_'])}"
    if chance < 0.6:
        return generator.choice(_NUMBERS).format(generator.randint(0, 99), generator.randint(0, 60))
    if chance < 0.8:
        return (
            f"{generator.choice(corpus.russian).capitalize()} {generator.choice(corpus.russian).capitalize()}"
        )
    return f"{generator.choice(corpus.russian)} {corpus.english_word(generator)}"


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
