"""English in a description, given in Russian: rules around somebody's translation."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from inference.reading.lines import clean_quote
from inference.reading.reading import Reading
from inference.russian.lexicon import bare, is_known, script
from inference.russian.lists import LISTS

_QUOTED = re.compile(r'"[^"]*"|«[^»]*»')
Translate = Callable[[Sequence[str]], list[str]]  # texts to texts, one each, in order


def in_russian(texts: Sequence[str], readings: Sequence[Reading], translate: Translate) -> list[str]:
    """The descriptions, in Russian where a model says them in English, with what the blocks of words on their
    pictures mean, where those are English.

    Behind its quotation, ``"Hold on" (по-русски: "Подожди")``, or at the end where it is not quoted whole.
    """
    english = [text for text in texts if script(_QUOTED.sub("", text)) == "latin"]
    if english:
        russian = dict(zip(english, translate(english), strict=True))
        texts = [russian.get(text, text) for text in texts]
    said_there = (dict.fromkeys(block.text for block in reading.blocks) for reading in readings)
    foreign = [[text for text in own if is_english(text)] for own in said_there]
    # Print in capitals is what such models know least.
    asked = [block.capitalize() if block.isupper() else block for own in foreign for block in own]
    said = iter(translate(asked) if asked else ())
    return [
        _explained(text, [(block, clean_quote(next(said))) for block in own])
        for text, own in zip(texts, foreign, strict=True)
    ]


def is_english(block: str) -> bool:
    """Whether most words of a block are Latin, and half of those in the dictionary: no name, no nickname."""
    words = [bare(token) for token in block.split() if script(token) != "none"]
    latin = [word for word in words if script(word) == "latin"]
    return 2 * len(latin) > len(words) and 2 * sum(map(is_known, latin)) >= len(latin)


def _explained(text: str, meanings: Sequence[tuple[str, str]]) -> str:
    for block, meaning in meanings:
        if not meaning or meaning.lower() == block.lower():
            continue
        quoted = next((mark for mark in (f'"{block}"', f"«{block}»") if mark in text), None)
        if quoted is None:
            text = f'{text} {LISTS.inscriptions.meaning.capitalize()}: "{meaning}".'
        else:
            text = text.replace(quoted, f'{quoted} ({LISTS.inscriptions.meaning}: "{meaning}")', 1)
    return text.strip()
