"""Words, the one way for every system: lower case first, then nltk's word tokenizer.

`nltk.word_tokenize` cuts the text into sentences with Punkt before it cuts words, and Punkt's trained
parameters are not in nltk's wheel: they are downloaded, which this project never does at run time. Two ways
around it:

* ``text`` (the default, the number to quote): `word_tokenize(text, preserve_line=True)`, that is nltk's
  `NLTKWordTokenizer` on the whole caption. What differs from `word_tokenize(text)`: a full stop is cut off
  its word only at the very end of the caption, so a sentence's last word inside the caption keeps its stop
  ("рыбка.") and equals only a word with a stop. Quotes, commas, colons, question and exclamation marks are
  cut off everywhere.
* ``sentences``: the caption is first split by `split_sentences`, a rule made for Russian captions of any
  casing, and each sentence goes through the same tokenizer: near to what `word_tokenize` gives with Punkt.
"""

from __future__ import annotations

import functools
import re
from typing import Any, Literal

__all__ = ["Tokenization", "plain_words", "split_sentences", "word_tokens"]

Tokenization = Literal["text", "sentences"]

# A stop after these does not end a sentence. Words that are abbreviations only with their stop.
# fmt: off
_ABBREVIATIONS = frozenset({
    "т.е", "т.д", "т.п", "т.к", "т.н", "т.о", "и.о", "н.э", "др", "пр", "прим", "примеч", "ред", "см", "ср",
    "рис", "стр", "сокр", "букв", "англ", "рус", "нем", "фр", "лат", "яп", "кит", "исп", "итал", "укр",
    "им", "ул", "пл", "пер", "просп", "обл", "гг", "вв", "руб", "коп", "тыс", "млн", "млрд", "трлн", "долл",
    "проф", "акад", "тов", "mr", "mrs", "ms", "dr", "vs", "etc", "e.g", "i.e", "jr", "sr",
})
# fmt: on
# «я» is the only one-letter word that usually closes a sentence; any other letter with a stop is an initial
# or an abbreviation ("г. Москва", "А. С. Пушкин").
_LETTER_THAT_ENDS = "я"
_END = re.compile(r"[.!?…]+[\"'»”)\]*]*(?=\s)")
_LAST_WORD = re.compile(r"[^\W\d_]+(?:\.[^\W\d_]+)*\Z")


def split_sentences(text: str) -> list[str]:
    """Splits a caption into sentences, whatever its casing; joined by a space they are the caption again.

    A sentence ends at `.`, `!`, `?`, `…` (with the quotes and brackets that close after it) before white
    space, but not after an abbreviation, an initial, or the number that opens a list ("1. ").
    """
    sentences = []
    start = 0
    for end in _END.finditer(text):
        stops = end.group().rstrip("\"'»”)]*")
        if stops == "." and end.group() == ".":
            before = text[start : end.start()]
            word = _LAST_WORD.search(before)
            if word is None:
                if before.strip().isdecimal():
                    continue
            elif word.group().lower() in _ABBREVIATIONS or (
                len(word.group()) == 1 and word.group().lower() != _LETTER_THAT_ENDS
            ):
                continue
        sentences.append(text[start : end.end()].strip())
        start = end.end()
    sentences.append(text[start:].strip())
    return [sentence for sentence in sentences if sentence]


def word_tokens(text: str, tokenization: Tokenization = "text") -> list[str]:
    """The lower-cased nltk word tokens of a caption, punctuation marks among them (see this module's
    docstring).
    """
    lowered = text.lower()
    parts = [lowered] if tokenization == "text" else split_sentences(lowered)
    return [token for part in parts for token in _nltk().tokenize(part)]


@functools.cache
def _nltk() -> Any:
    from nltk.tokenize import NLTKWordTokenizer  # noqa: PLC0415 - the commands' help does without

    return NLTKWordTokenizer()


_WORD = re.compile(r"[^\W_]+")


def plain_words(text: str) -> list[str]:
    """Runs of letters and digits, lower-cased, `ё` as `е` (captions write either): words without any
    punctuation.
    """
    return _WORD.findall(text.lower().replace("ё", "е"))
