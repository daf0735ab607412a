"""Sentences of a text in lower case, cut as nltk's ``sent_tokenize`` cuts them.

The originals cut words by nltk's ``word_tokenize``, which splits a text into sentences first: without that a
full stop inside a text stays with its word, and "кадре." is another word than "кадре". Russian texts were cut
by the English model, its default. That is a table of 20,000 words, which nltk fetches from the internet; the
little of it that a text in lower case can meet lies beside this module.
"""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path

from nltk.tokenize.punkt import _ORTHO_BEG_LC, PunktParameters, PunktSentenceTokenizer

_FILE = Path(__file__).with_name("punkt.toml")


def split_sentences(text: str) -> list[str]:
    """The sentences of a text in lower case, in its order, without the white space between them."""
    return list(_punkt().tokenize(text))


@cache
def _punkt() -> PunktSentenceTokenizer:
    known = tomllib.loads(_FILE.read_text(encoding="utf-8"))
    parameters = PunktParameters()
    parameters.abbrev_types = set(known["abbreviations"])
    parameters.collocations = {(first, second) for first, second in known["collocations"]}
    for word in known["lower_case_starts"]:
        parameters.ortho_context[word] = _ORTHO_BEG_LC
    return PunktSentenceTokenizer(parameters)
