"""Words in place of what is none, among what the recogniser may have seen."""

from __future__ import annotations

import itertools
import math
from functools import partial

import numpy as np
import numpy.typing as npt
import pytest

from inference.reading.ctc import decode
from inference.reading.ocr import Ocr
from inference.reading.spelling import readings_of, respell
from tests.drawing import draw_meme
from tests.inference import ctc

CHARACTERS = [*'абвгдежзийклмнопрстуфхцчшщъыьэюяoT," іў']


steps = partial(ctc.steps, CHARACTERS)


def line(text: str, doubts: dict[int, dict[str, float]] | None = None) -> npt.NDArray[np.float32]:
    """A line that says ``text``, a step a character and a blank behind it; ``doubts`` replace characters."""
    doubts = doubts or {}
    said = [doubts.get(i, {character: 0.98}) for i, character in enumerate(text)]
    return steps(*(step for one in said for step in (one, {})))


def spelt(probabilities: npt.NDArray[np.float32]) -> str:
    read = decode(probabilities, CHARACTERS)
    text, sure, places = respell(*read, probabilities, CHARACTERS)
    assert len(text) == len(sure) == len(places)
    assert places == sorted(places)
    assert all(0 < one <= 1 for one in sure + places)
    return text


def test_the_search_gives_the_probability_of_all_paths() -> None:
    probabilities = np.random.default_rng(5).dirichlet(np.ones(4), size=6).astype(np.float32)
    expected: dict[tuple[int, ...], float] = {}
    for path in itertools.product(range(4), repeat=6):
        spelled = tuple(number for number, _ in itertools.groupby(path) if number)
        share = math.prod(float(probabilities[step, number]) for step, number in enumerate(path))
        expected[spelled] = expected.get(spelled, 0.0) + share
    found = readings_of(probabilities, beams=10**6)
    assert {prefix for prefix, _ in found} == expected.keys()
    for prefix, probability in found:
        assert probability == pytest.approx(expected[prefix], rel=1e-4)
    best = [probability for _, probability in found]
    assert best == sorted(best, reverse=True)
    # With few beams the best of all is still the best.
    assert readings_of(probabilities)[0][0] == found[0][0]


@pytest.mark.parametrize(
    ("text", "doubts", "expected"),
    [
        ("друтая", {3: {"т": 0.5, "г": 0.4}}, "другая"),  # a letter for one that looks like it
        ("это друтая рука", {7: {"т": 0.5, "г": 0.4}}, "это другая рука"),
        ('"друтая",', {4: {"т": 0.5, "г": 0.4}}, '"другая",'),  # the marks around a word stay
        ("удочкка", {5: {"к": 0.6}}, "удочка"),  # one that is perhaps not there
        ("мороова", {3: {"о": 0.5, "к": 0.45}, 4: {"о": 0.9}}, "мороова"),  # what is near is no word either
        ("друтая", {3: {"т": 0.9, "г": 0.05}}, "друтая"),  # too improbable: it may be a name
        ("вегам", {4: {"м": 0.55}}, "вегам"),  # many a name is a word and a letter
        ("кровь", {4: {"ь": 0.5, "и": 0.45}}, "кровь"),  # a word is left alone
        ("руы", {2: {"ы": 0.5, "к": 0.45}}, "руы"),  # too short to know
        ("столиця і", {5: {"ц": 0.6}, 6: {"я": 0.5, "а": 0.4}}, "столиця і"),  # Ukrainian is not put right
        ("удочкка ў", {5: {"к": 0.6}}, "удочкка ў"),  # nor Belarusian
    ],
)
def test_another_reading_is_taken_where_it_is_a_word(
    text: str, doubts: dict[int, dict[str, float]], expected: str
) -> None:
    assert spelt(line(text, doubts)) == expected


def test_a_space_that_was_not_seen_comes_between_two_words() -> None:
    probabilities = np.concatenate([line("мы"), steps({" ": 0.3}), line("этого")])
    assert decode(probabilities, CHARACTERS)[0] == "мыэтого"
    assert spelt(probabilities) == "мы этого"


def test_a_mixture_of_alphabets_is_left_to_those_who_see_the_whole_picture() -> None:
    assert spelt(line("кoтовод", {6: {"д": 0.5, "т": 0.4}})) == "кoтовод"


def test_nothing_is_nothing() -> None:
    assert respell("", [], [], np.zeros((0, len(CHARACTERS) + 1), dtype=np.float32), CHARACTERS) == (
        "",
        [],
        [],
    )
    assert spelt(steps({" ": 0.9}, {}, {" ": 0.9})) == "  "


def test_the_reader_has_second_thoughts(monkeypatch: pytest.MonkeyPatch) -> None:
    """A recogniser that prefers the one sign to the other wherever it sees the other: no word is lost."""
    ocr = Ocr()
    soft, hard = (ocr._characters.index(letter) + 1 for letter in "ьъ")
    weight, bias = (part.copy() for part in ocr._head)
    weight[:, soft], bias[soft] = weight[:, hard], bias[hard] + 0.5
    monkeypatch.setattr(ocr, "_head", (weight, bias))
    meme = draw_meme("caption_bar", "подъезд дома и объявление")
    said = [word.text for word in ocr.read(meme)]
    assert {"подъезд", "объявление"} <= set(said)
    monkeypatch.setattr("inference.reading.ocr.respell", lambda text, sure, places, *_: (text, sure, places))
    without = [word.text for word in ocr.read(meme)]
    assert {"подьезд", "обьявление"} <= set(without)
