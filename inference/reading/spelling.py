"""Second thoughts about words that no dictionary has: what else could the recogniser have seen there?

The best path of CTC takes the likeliest class of every step, whatever word comes of it. Where that is none,
the likeliest readings as a whole are looked through for one that is ("ДРУТАЯ", "МЫЭТО", "ранспортном":
"ДРУГАЯ", "МЫ ЭТО", "Транспортном"). A reading much less probable than the first is not taken: names and slang
are no words of a dictionary either.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np

from inference.reading.ctc import Floats
from inference.russian.lexicon import bare, has_neighbour_letters, is_known, one_alphabet, script

_LEAST_LETTERS = 4  # shorter ones are too often something else: a name, a sound, a part of a word
_NEAR = 0.14  # of the first reading's probability: a less likely one is not taken
_BEAMS = 8
_CLASSES = 6  # of a step that are followed, the likeliest
_LEAST = 1e-3  # probability of a class at a step that is followed

Prefix = tuple[int, ...]


def respell(
    text: str,
    sure: Sequence[float],
    places: Sequence[float],
    probabilities: Floats,
    characters: Sequence[str],
) -> tuple[str, list[float], list[float]]:
    """What :func:`inference.reading.ctc.decode` found in (steps, classes), with words for what is none.

    The letters of another word share its probability, and its place evenly.
    """
    if has_neighbour_letters(text):  # no line of Russian: its dictionary has nothing to say
        return text, list(sure), list(places)
    steps = [round(place * len(probabilities) - 0.5) for place in places]
    tokens: list[str] = []
    new_sure: list[float] = []
    new_places: list[float] = []
    start = 0
    for token in text.split(" "):
        end = start + len(token)
        if tokens:  # the space before it
            new_sure.append(sure[start - 1])
            new_places.append(places[start - 1])
        first = steps[start - 1] + 1 if start else 0
        last = steps[end] if end < len(steps) else len(probabilities)
        other = _word_for(token, probabilities[first:last], characters) if _is_no_word(token) else None
        if other is None:
            new_sure += sure[start:end]
            new_places += places[start:end]
        else:
            new_sure += [sum(sure[start:end]) / len(token)] * len(other)
            new_places += np.linspace(places[start], places[end - 1], len(other)).tolist()
        tokens.append(token if other is None else other)
        start = end + 1
    return " ".join(tokens), new_sure, new_places


def _is_no_word(token: str) -> bool:
    core = bare(token)
    if len(core) < _LEAST_LETTERS or not core.isalpha() or script(core) == "mixed":
        return False
    spellings = (core, *(one_alphabet(core, prefer_cyrillic=cyrillic) for cyrillic in (True, False)))
    return not any(is_known(spelling) for spelling in spellings)


def _word_for(token: str, probabilities: Floats, characters: Sequence[str]) -> str | None:
    """The likeliest word, or words, that the steps may say instead; None: nothing near enough."""
    core = bare(token)
    before, _, behind = token.partition(core)
    readings = [
        ("".join(characters[number - 1] for number in prefix).strip(), probability)
        for prefix, probability in readings_of(probabilities)
    ]
    for text, probability in readings:
        if probability < _NEAR * readings[0][1]:
            return None
        # Marks around the word are none of the dictionary's business: they stay.
        inner = text.removeprefix(before).removesuffix(behind)
        if core.startswith(inner) or core.endswith(inner):
            continue  # a letter less at an end makes a word of many a name
        parts = inner.split(" ")
        if f"{before}{inner}{behind}" == text and all(
            part == bare(part) and script(part) == script(core) and is_known(part) for part in parts
        ):
            return text
    return None


def readings_of(probabilities: Floats, *, beams: int = _BEAMS) -> list[tuple[Prefix, float]]:
    """The likeliest sequences of classes that (steps, classes) spell, class 0 being the blank, and their
    probabilities, best first: a prefix beam search (Hannun et al. 2014, arXiv:1408.2873, algorithm 1 without
    a language model).
    """
    # Of each prefix: the probability that the last step was blank, and that it was the prefix's last class.
    kept: dict[Prefix, list[float]] = {(): [1.0, 0.0]}
    for followed in _followed(probabilities):
        grown: defaultdict[Prefix, list[float]] = defaultdict(lambda: [0.0, 0.0])
        for prefix, (blank, letter) in kept.items():
            for number, probability in followed:
                if number == 0:
                    grown[prefix][0] += (blank + letter) * probability
                elif prefix and number == prefix[-1]:  # the same letter on, or a second one behind a blank
                    grown[prefix][1] += letter * probability
                    if blank:
                        grown[(*prefix, number)][1] += blank * probability
                else:
                    grown[(*prefix, number)][1] += (blank + letter) * probability
        kept = dict(heapq.nlargest(beams, grown.items(), key=lambda item: sum(item[1])))
    return [(prefix, sum(parts)) for prefix, parts in kept.items()]


def _followed(probabilities: Floats) -> Iterator[list[tuple[int, float]]]:
    """Of each step the likeliest classes with their probabilities."""
    order = np.argsort(-probabilities, axis=1, kind="stable")[:, :_CLASSES]
    top = np.take_along_axis(probabilities, order, axis=1)
    for numbers, values in zip(order.tolist(), top.tolist(), strict=True):
        yield [(number, value) for number, value in zip(numbers, values, strict=True) if value >= _LEAST]
