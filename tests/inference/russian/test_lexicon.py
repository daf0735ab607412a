"""Words of two languages, and letters that look alike in both."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.russian.lexicon import bare, digits, is_known, one_alphabet, script
from inference.russian.morphology import inflected, parses


@pytest.mark.parametrize(
    "word",
    [
        *["кот", "КОТОМ", "ёлка", "я", "из-за", "по-русски", "cat", "don't", "don’t", "I"],
        *["Київ", "їжак", "СІЛЬ", "ґанок", "її", "п'ять", "сім’я", "об'єкт"],  # Ukrainian
        *["воўк", "ЎСЁ", "ў"],  # Belarusian
    ],
)
def test_words_of_the_dictionaries_are_known(word: str) -> None:
    assert is_known(word)


@pytest.mark.parametrize(
    "word", ["кщтъ", "ОПИР", "xqzw", "котcat", "ь", "жщ", "", "123", "к0т", "жїщ", "щ'ж"]
)
def test_specks_and_mixtures_are_not(word: str) -> None:
    assert not is_known(word)


@pytest.mark.parametrize(
    ("word", "kind"),
    [
        *[("кот", "cyrillic"), ("cat", "latin"), ("кoт", "mixed"), ("2024!", "none"), ("", "none")],
        *[("її", "cyrillic"), ("І", "cyrillic"), ("ґ", "cyrillic"), ("ў", "cyrillic"), ("I", "latin")],
    ],
)
def test_script(word: str, kind: str) -> None:
    assert script(word) == kind


def test_bare_takes_punctuation_from_the_ends_only() -> None:
    assert bare('«кто-то»,"') == "кто-то"
    assert bare("don't!..") == "don't"
    assert bare("—") == ""


LATIN, CYRILLIC = "aceopxyABCEHKMOPTXY", "асеорхуАВСЕНКМОРТХУ"


@pytest.mark.parametrize(
    ("read", "prefer_cyrillic", "meant"),
    [
        ("KOM", True, "КОМ"),  # all letters Latin, a word only in Russian
        ("KOMA", True, "КОМА"),
        ("ВОТН", False, "BOTH"),  # and the other way round
        ("кoт", True, "кот"),  # one foreign letter
        ("cтpaшнo", True, "страшно"),
        ("кoт", False, "кот"),  # "kom" is no word
        ("пeca", False, "neca"),  # neither is one: the alphabet of the picture decides
        ("cтpaшнo", False, "страшно"),  # there is no Latin spelling of it
        ("hоmе", False, "home"),
        ("c", True, "с"),
        ("a", False, "a"),
        ("HE", True, "НЕ"),  # on a Russian picture the short word is the Russian one
        ("top", True, "top"),  # a word of its own language stays what it is
        ("дом", False, "дом"),
        ("WiFi", True, "WiFi"),
        ("100%", True, "100%"),
        ("«KOMA!»", True, "«КОМА!»"),
        ("сiль", True, "сіль"),  # a Latin letter in a Ukrainian word
        ("ПРИBIT", True, "ПРИВІТ"),
        ("thіs", False, "this"),  # and a Cyrillic one in an English word
        ("І", False, "I"),
        ("I", True, "I"),  # a Roman numeral, and a word of English
    ],
)
def test_look_alike_letters_become_those_of_one_word(read: str, prefer_cyrillic: bool, meant: str) -> None:
    assert one_alphabet(read, prefer_cyrillic=prefer_cyrillic) == meant


@given(word=st.sampled_from(["хорошо", "расскажу", "НАУКА", "САХАР", "холодно", "Москва"]), data=st.data())
def test_any_russian_word_is_recovered_whichever_of_its_letters_were_taken_for_latin(
    word: str, data: st.DataObject
) -> None:
    flips = data.draw(st.lists(st.booleans(), min_size=len(word), max_size=len(word)))
    swapped = dict(zip(CYRILLIC, LATIN, strict=True))
    read = "".join(
        swapped.get(letter, letter) if flip else letter for letter, flip in zip(word, flips, strict=True)
    )
    assert one_alphabet(read, prefer_cyrillic=True) == word


@given(token=st.text(max_size=12), prefer=st.booleans())
def test_only_look_alikes_are_ever_exchanged(token: str, prefer: bool) -> None:
    repaired = one_alphabet(token, prefer_cyrillic=prefer)
    alike = {frozenset(pair) for pair in zip(LATIN + "mnukr", CYRILLIC + "тпикг", strict=True)}
    assert len(repaired) == len(token)
    assert all(a == b or frozenset((a, b)) in alike for a, b in zip(token, repaired, strict=True))
    assert one_alphabet(repaired, prefer_cyrillic=prefer) == repaired


@pytest.mark.parametrize(
    ("read", "meant"),
    [
        ("З", "3"),
        ("ЗО,", "30,"),
        ("Зд", "3д"),
        ("15ооо", "15000"),
        ("20З5", "2035"),
        ("l", "I"),
        ("за", "за"),
        ("о", "о"),
        ("Оо", "Оо"),
        ("зоо", "зоо"),
        ("4к", "4к"),
    ],
)
def test_letters_taken_for_digits_become_digits(read: str, meant: str) -> None:
    assert digits(read) == meant


def test_a_ukrainian_word_leaves_the_grammar_of_russian_as_it_is() -> None:
    assert is_known("їжак")
    assert inflected("сидеть", {"3per", "plur", "pres", "indc"}) == "сидят"
    tag, _ = parses("первый")[0]
    assert {"ADJF", "Anum"} in tag
