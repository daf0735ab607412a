"""The two languages."""

from __future__ import annotations

import re
import string
from pathlib import Path

import pytest
from babel.messages.pofile import read_po

import bot.texts as module
from bot.texts import Html, choose_language, sentences, texts
from bot.texts.sentences import Plural

PLAIN = [value for name, value in vars(sentences).items() if name.isupper() and isinstance(value, str)]
PLURAL = [value for name, value in vars(sentences).items() if name.isupper() and isinstance(value, Plural)]


def placeholders(sentence: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(sentence) if name}


def test_every_sentence_has_a_translation_and_no_translation_is_left_over() -> None:
    with (Path(module.__file__).parent / "ru.po").open("rb") as source:
        catalogue = read_po(source, locale="ru")
    ids = {message.id for message in catalogue if message.id}
    assert ids == {*PLAIN, *((plural.one, plural.many) for plural in PLURAL)}
    for message in catalogue:
        forms = message.string if isinstance(message.string, tuple) else (message.string,)
        assert all(forms)
        assert not message.fuzzy


@pytest.mark.parametrize("sentence", PLAIN)
def test_a_translation_has_the_same_placeholders_commands_and_tags(sentence: str) -> None:
    values = {name: f"<{name}>" for name in placeholders(sentence)}
    english, russian = texts("en")(sentence, **values), texts("ru")(sentence, **values)
    assert english != russian
    for pattern in (r"&lt;\w+&gt;", r"(?<!<)/\w+", r"</?\w+>"):
        assert sorted(re.findall(pattern, english)) == sorted(re.findall(pattern, russian))
    assert re.search(r"[а-яё]", russian)


def test_numbers_choose_the_form() -> None:
    russian, english = texts("ru"), texts("en")
    forms = {
        number: russian.plural(sentences.QUEUE_PLACE, number).split(". ")[0] for number in (1, 2, 5, 11, 21)
    }
    assert [text.split()[-1] for text in forms.values()] == [
        "картинка",
        "картинки",
        "картинок",
        "картинок",
        "картинка",
    ]
    assert "1 picture is ahead" in english.plural(sentences.QUEUE_PLACE, 1)
    assert "2 pictures are ahead" in english.plural(sentences.QUEUE_PLACE, 2)


def test_values_are_escaped_unless_they_are_html() -> None:
    assert "&lt;b&gt; &amp;" in texts("en")(sentences.PROMPT_FOR, name="<b> &")
    assert texts("en")(sentences.PROMPT_FOR, name=Html("<b>x</b>")).startswith("<b>x</b>, write")


@pytest.mark.parametrize(
    ("code", "language"),
    [
        ("ru", "ru"),
        ("ru-RU", "ru"),
        ("uk", "ru"),
        ("kk", "ru"),
        ("be", "ru"),
        ("en", "en"),
        ("en-US", "en"),
        ("EN_gb", "en"),
        ("de", "ru"),
        ("", "ru"),
        (None, "ru"),
    ],
)
def test_russian_is_the_default_and_english_for_english_telegrams(code: str | None, language: str) -> None:
    assert choose_language(code) == language


def test_the_operator_may_make_english_the_default() -> None:
    assert choose_language("de", "en") == "en"
    assert choose_language("ru", "en") == "ru"
