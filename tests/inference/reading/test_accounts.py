"""Who wrote a post is told apart from what it says."""

from __future__ import annotations

from inference.reading.words import Word
from tests.inference.reading.printed import line, message


def post(*extra: Word) -> list[Word]:
    words = line("Котик Мурзик", left=0.1, top=0.1) + line("@kotik_42", left=0.1, top=0.2, number=1)
    words += line("Сегодня я проспал работу", left=0.1, top=0.4, number=2)
    return [*words, *line("и мне ни капли не стыдно", left=0.1, top=0.5, number=3), *extra]


def test_who_wrote_a_post_is_told_apart_from_what_it_says() -> None:
    found = sorted(message(post()), key=lambda one: one.box[1])
    assert [one.text for one in found] == ["Сегодня я проспал работу", "и мне ни капли не стыдно"]
    assert [one.author for one in found] == ["kotik_42", ""]


def test_an_account_that_is_answered_is_not_the_author() -> None:
    words = line("В ответ @sobaka", left=0.1, top=0.2) + line(
        "Сегодня я проспал работу", left=0.1, top=0.4, number=1
    )
    assert [one.author for one in message(words) if one.text.startswith("Сегодня")] == [""]


def test_an_account_far_above_has_nothing_to_do_with_the_words() -> None:
    words = line("@kotik_42", left=0.1, top=0.05) + line(
        "Сегодня я проспал работу", left=0.1, top=0.8, number=1
    )
    assert [one.author for one in message(words) if one.text.startswith("Сегодня")] == [""]
