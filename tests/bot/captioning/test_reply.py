"""Layout, escaping and splitting of replies."""

from __future__ import annotations

import html
import re

from aiogram.types import InlineKeyboardButton
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.captioning.reply import Marks, caption_keyboard, caption_messages
from bot.messages.lengths import MESSAGE_LIMIT, length, wrap
from bot.texts import texts
from inference.common.types import Caption

RU = texts("ru")


def caption(
    summary: str = "Кот", text: str = "Описание", *words: str, notes: tuple[str, ...] = ()
) -> Caption:
    return Caption(summary, text, words, model="m", checkpoint="0" * 64, notes=notes)


def shown(message: str) -> str:
    """What a person sees of Telegram's HTML."""
    return html.unescape(re.sub(r"</?b>", "", message))


def test_the_order_is_doubt_description_words_notes_mark() -> None:
    notes = ("first_frame", "low_confidence", "unknown_note")
    said = caption("Кот & пёс", 'Они <дружат>. Подпись: "Раз".', "РАЗ", "ДВА\nТРИ <3", notes=notes)
    (message,) = caption_messages(said, RU, Marks(own=4))
    assert message == (
        "Не уверен: в этом описании могут быть ошибки.\n\n"
        'Они &lt;дружат&gt;. Подпись: "Раз".\n\n'
        "Ещё на картинке написано:\nДВА\nТРИ &lt;3\n\n"
        "Это анимация: описан только её первый кадр.\n\n"
        "Ваша оценка: 4 из 5 – хорошо"
    )


def test_nothing_is_said_twice() -> None:
    quoting = caption("Картинка с надписью сверху.", 'Кот. Надпись сверху: "Привет, Анна".', "ПРИВЕТ, АННА")
    assert caption_messages(quoting, RU) == ['Кот. Надпись сверху: "Привет, Анна".']
    silent = caption("Картинка с надписью сверху.", "Кот.", "ПРИВЕТ", "АННА")
    assert caption_messages(silent, RU) == ["Кот.\n\nСлова на картинке:\nПРИВЕТ\nАННА"]
    empty = caption("Картинка без надписей.", "Картинка без надписей.")
    assert caption_messages(empty, RU) == ["Картинка без надписей."]
    assert caption_messages(caption("Картинка.", ""), texts("en")) == ["Картинка."]


def test_a_picture_without_words_says_so_unless_nothing_was_read() -> None:
    assert caption_messages(caption(), RU) == ["Описание\n\nСлов на картинке не найдено."]
    unread = caption_messages(caption(notes=("no_reading",)), RU)[0]
    assert "не найдено" not in unread
    assert "Чтение слов в этом боте отключено" in unread


def test_words_that_could_not_be_read_are_not_said_to_be_missing() -> None:
    (unread,) = caption_messages(caption(notes=("unreadable",)), RU)
    assert unread.endswith("На картинке есть слова, но прочесть их не удалось.")
    assert "не найдено" not in unread
    (some,) = caption_messages(caption("Кот", "Описание", "РАЗ", notes=("unreadable", "low_confidence")), RU)
    assert some.endswith("Слова на картинке:\nРАЗ\n\nЧасть слов на картинке прочесть не удалось.")
    assert "could not be read" in caption_messages(caption(notes=("unreadable",)), texts("en"))[0]


def test_a_picture_upside_down_is_told_to_be() -> None:
    (message,) = caption_messages(caption("Кот", "Описание", "РАЗ", notes=("upside_down",)), RU)
    assert message.endswith("Картинка стоит вверх ногами: она описана так, как если бы её перевернули.")


def test_the_mean_is_written_the_way_of_the_language() -> None:
    marks = Marks(mean=3.25, people=4)
    assert caption_messages(caption(), RU, marks)[0].endswith("Оценки: в среднем 3,2 из 5, 4 человека")
    assert caption_messages(caption(), texts("en"), marks)[0].endswith(
        "Marks: 3.2 out of 5 on average, 4 people"
    )


@settings(max_examples=60, deadline=None)
@given(
    st.text(alphabet="аб<&😀 \n.", max_size=9000),
    st.text(alphabet="аб<&😀 \n.", max_size=9000),
    st.lists(st.text(alphabet="А😀& ", max_size=3000), max_size=3),
)
def test_every_message_fits_and_nothing_is_lost(summary: str, text: str, words: list[str]) -> None:
    said = caption(summary, text, *words)
    messages = caption_messages(said, RU, Marks(own=5))
    assert all(0 < length(shown(message)) <= 4096 for message in messages)
    assert all(length(shown(message)) <= MESSAGE_LIMIT for message in messages[:-1])
    whole = "".join(shown(message) for message in messages)
    for part in (text.strip() or summary, *words):
        assert "".join(part.split()) in "".join(whole.split())
    # A mark never moves text from one message to another.
    assert caption_messages(said, RU)[:-1] == messages[:-1]
    assert messages[-1].startswith(caption_messages(said, RU)[-1])


def test_text_is_cut_at_the_strongest_boundary_in_the_second_half() -> None:
    assert wrap("раз два. три четыре", 12) == ["раз два.", "три четыре"]
    assert wrap("раз два\nтри четыре", 12) == ["раз два", "три четыре"]
    assert wrap("раз.дватричетыре пять", 16) == ["раз.дватричетыре", "пять"]
    assert wrap("абвгд", 2) == ["аб", "вг", "д"]
    assert wrap("😀😀", 3) == ["😀", "😀"]
    assert wrap("", 10) == []


def test_button_data_fits_the_largest_ids() -> None:
    keyboard = caption_keyboard(2**63 - 1, ["А" * 300], RU, job_id=2**63 - 1)
    for row in keyboard.inline_keyboard:
        for button in row:
            assert 0 < len((button.callback_data or "").encode()) <= 64


def test_a_button_copies_the_words_or_sends_what_is_too_long_to_be_copied() -> None:
    def last(*blocks: str) -> InlineKeyboardButton:
        return caption_keyboard(5, blocks, RU, job_id=7).inline_keyboard[-1][-1]

    assert last().text == last(" ").text == "Ещё вариант", "there are no words"
    short = last("А" * 200, " ", "😀" * 27 + "Б")
    assert (short.text, short.callback_data) == ("Скопировать слова", None)
    assert short.copy_text is not None and short.copy_text.text == "А" * 200 + "\n" + "😀" * 27 + "Б"
    assert length(short.copy_text.text) == 256
    long = last("А" * 257)
    assert (long.text, long.copy_text) == ("Прислать слова", None)
    assert long.callback_data == "w:5:7"
