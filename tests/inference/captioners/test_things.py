"""Plain sentences of what was seen."""

from __future__ import annotations

import pytest

from inference.captioners.meme_small.things import is_drawn, is_thing, share_out, tell_things
from inference.russian.sentences import told as text_of


def told(*concepts: str, said: tuple[str, ...] = (), acting: float = 0.0) -> str:
    """The first concept is the likeliest."""
    seen = [(concept, 0.9 - 0.01 * number) for number, concept in enumerate(concepts)]
    return text_of(tell_things(seen, said, place="на фото", acting=acting))


@pytest.mark.parametrize(
    ("concepts", "text"),
    [
        ((), ""),
        (("кот",), "На фото кот."),
        (("кот", "собака"), "На фото кот и собака."),
        (("кот", "диван"), "На фото кот. Также видно диван."),
        (("кот", "окно"), "На фото кот. Также видно окно."),
        (("кот", "лапа"), "На фото кот. Также видно лапу."),
        (("кот", "глаз"), "На фото кот. Также видно глаза."),
        (("кот", "очки"), "На фото кот. Также видно очки."),
        (("рука", "стол", "девушка"), "На фото девушка. Также видно стол и руку."),
        (("стол", "книга", "лампа"), "На фото стол, книга и лампа."),
        (("девушка", "сидеть"), "На фото девушка сидит."),
        (("девушка", "кот", "сидеть", "смотреть"), "На фото девушка и кот сидят и смотрят."),
        (("мужчина", "держать"), "На фото мужчина держит что-то."),
        (("сидеть", "стол"), "На фото кто-то сидит. Также видно стол."),
        (("ребенок", "спать"), "На фото ребёнок спит."),
        (("девушка", "пол", "лежать"), "На фото девушка лежит. Также видно пол."),
        (("кот", "наушник", "ник"), "На фото кот. Также видно наушники."),
        (("кот", "мультсериал"), "На фото кот. Похоже на кадр из мультсериала."),
    ],
)
def test_what_was_seen_becomes_sentences(concepts: tuple[str, ...], text: str) -> None:
    assert told(*concepts) == text


def test_one_has_one_posture_and_the_likeliest_is_told() -> None:
    assert told("кот", "лежать", "сидеть", "стоить") == "На фото кот лежит."
    assert told("кот", "стоить") == "На фото кот стоит."  # pymorphy3's parse of "стоит"


def test_a_thing_has_one_name() -> None:
    assert told("парень", "мужчина", "человек") == "На фото парень."
    assert told("кошка", "кот") == "На фото кошка."


def test_nothing_is_told_twice() -> None:
    assert told("кот", "лапа", said=("кот",)) == "Также видно лапу."
    assert told("кот", "смотреть", said=("кот",)) == "Кот смотрит."
    assert told("девушка", said=("кот",)) == "Ещё на фото девушка."
    assert told("мужчина", "рука", said=("человек",)) == "Также видно руку."


def test_actions_must_be_probable() -> None:
    assert told("кот", "сидеть", acting=0.95) == "На фото кот."


def test_a_part_of_nobody_must_be_as_probable() -> None:
    assert told("рука", "глаз", acting=0.895) == "На фото рука."
    assert told("рука", "стол", acting=0.95) == "На фото стол и рука."
    assert told("рука", acting=0.95) == ""


def test_what_is_no_thing_is_not_listed() -> None:
    assert not any(map(is_thing, ("красный", "сидеть", "мнение", "мультсериал", "цвет")))
    assert told("красный", "мнение") == ""


def shared(listed: float, **by_frame: tuple[float, ...]) -> tuple[list[str], list[list[str]]]:
    """The concepts, the likeliest first, that are told of all frames and of each."""
    seen = [(concept, 0.9 - 0.01 * number) for number, concept in enumerate(by_frame)]
    probabilities = [
        dict(zip(by_frame, values, strict=True)) for values in zip(*by_frame.values(), strict=True)
    ]
    everywhere, frames = share_out(seen, probabilities, listed)
    return [concept for concept, _ in everywhere], [[concept for concept, _ in own] for own in frames]


def test_things_are_told_of_the_frames_that_have_them() -> None:
    assert shared(0.5, кот=(0.9, 0.8), стол=(0.7, 0.6), окно=(0.1, 0.3)) == (["кот", "стол"], [[], ["окно"]])
    assert shared(0.5, кот=(0.9, 0.1), собака=(0.6, 0.7), стол=(0.6, 0.7)) == (
        ["собака", "стол"],
        [["кот"], []],
    )


def test_a_being_is_told_of_every_frame_and_a_thing_once() -> None:
    assert shared(0.5, кот=(0.9, 0.1, 0.6), стол=(0.6, 0.1, 0.7)) == ([], [["кот"], [], ["кот", "стол"]])


def test_a_being_has_one_name_on_all_frames() -> None:
    assert shared(0.5, кот=(0.9, 0.9), котик=(0.1, 0.6)) == (["кот"], [[], []])
    assert shared(0.5, человек=(0.9, 0.9), девушка=(0.1, 0.6)) == ([], [[], ["девушка"]])


def test_what_beings_do_is_told_where_there_are_beings() -> None:
    assert shared(0.5, кот=(0.9, 0.1), сидеть=(0.2, 0.8), рука=(0.1, 0.9), окно=(0.1, 0.9)) == (
        [],
        [["кот", "сидеть", "рука"], ["окно"]],
    )
    assert shared(0.5, кот=(0.9, 0.9), сидеть=(0.2, 0.8)) == (["кот", "сидеть"], [[], []])
    assert shared(0.5, сидеть=(0.2, 0.8)) == ([], [[], ["сидеть"]])


def test_drawings_are_told_from_photos() -> None:
    assert is_drawn(["кот", "аниме"])
    assert not is_drawn(["кот", "диван"])
