"""What detectors saw and the sentence did not say, as a plain list: "На картинке: кот, диван и окно."

A language model trained on some thousands of descriptions leaves out most of what is known; a person who
cannot see the picture wants it all the same.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence

from inference.reading.lexicon import parses, written

# Nouns of descriptions that are no things on a picture.
_NO_THINGS = frozenset(
    """
    аккаунт буква вариант версия верх взгляд вид видео видеоролик вконтакте внешность внимание
    водяной вопрос вотермарка время выражение герой год голос город группа дата движение действие
    день друг жест жизнь звук знак зритель идея имя история канал качество количество конец контур
    край лайк лево линия логотип место минута мир мнение момент мультик мысль название начало низ
    новость номер образ опрос ответ отметка отношение оттенок паблик пара перед передача план
    подписчик поза половина положение полоса помощь попытка пора порода право превью приложение
    причина проблема продолжение процесс пункт работа раз размер рамка реакция результат реклама
    репост ролик роль ряд сайт сезон середина серия символ система ситуация скорость слово смысл
    содержание сообщение сообщество список способ статья стиль сторона страна сцена таблица тема тип
    тон угол фамилия форма цвет цель центр час часть число читатель шутка экран эмоция эпизод язык
    яркость
    """.split()  # noqa: SIM905 - a word list
)
_SOURCES = {
    "мультсериал": "мультсериала",
    "мультфильм": "мультфильма",
    "аниме": "аниме",
    "фильм": "фильма",
    "сериал": "сериала",
    "игра": "игры",
}
# Names of the same: the likeliest of a group stands for it.
_SAME = (
    frozenset({"мужчина", "парень", "мальчик", "юноша"}),
    frozenset({"женщина", "девушка", "девочка"}),
    frozenset({"кот", "кошка", "котенок"}),
    frozenset({"собака", "пес", "щенок"}),
    frozenset({"лицо", "морда", "голова"}),
)
_PEOPLE = frozenset().union(*_SAME[:2]) | {"ребенок", "человечек"}
_MOST = 5


def is_thing(concept: str) -> bool:
    """Whether a concept can stand in the list."""
    tag, _ = parses(concept)[0]
    return tag.POS == "NOUN" and concept not in _NO_THINGS and concept not in _SOURCES


def list_things(concepts: Sequence[tuple[str, float]], said: Collection[str]) -> str:
    """One or two sentences, or "".

    ``concepts``: those that are probable enough, with their probabilities; ``said``: lemmas that the caption
    has already.
    """
    ordered = [concept for concept, _ in sorted(concepts, key=lambda pair: -pair[1])]
    named: list[str] = []
    for concept in filter(is_thing, ordered):
        same = next((group for group in _SAME if concept in group), frozenset({concept}))
        if same & {*named, *said}:
            continue
        named.append(concept)
    if _PEOPLE & {*named, *said}:
        named = [concept for concept in named if concept != "человек"]
    source = next((_SOURCES[one] for one in ordered if one in _SOURCES and one not in said), None)
    sentences = [f"На картинке{_joined(map(written, named[:_MOST]))}."] if named else []
    if source:
        sentences.append(f"Похоже на кадр из {source}.")
    return " ".join(sentences)


def _joined(words: Iterable[str]) -> str:
    *first, last = words
    return f": {', '.join(first)} и {last}" if first else f" {last}"


_SHOWN = re.compile(
    r"\b(изображ[её]н|показан|нарисован|виден|видн)[аоы]?\s+((?:[а-яё-]+\s+){0,2}?)([а-яё-]+)", re.I
)
_FORMS = {"masc": "", "femn": "а", "neut": "о", "plur": "ы"}


def agree(text: str) -> str:
    """ "Изображен собака" -> "изображена собака": the participle in gender and number of what is shown."""
    parts = re.split(r'("[^"]*")', text)
    return "".join(part if i % 2 else _SHOWN.sub(_agreed, part) for i, part in enumerate(parts))


def _agreed(found: re.Match[str]) -> str:
    participle, between, noun = found.groups()
    tags = [tag for tag, _ in parses(noun)]
    tag = next((tag for tag in tags if tag.POS == "NOUN" and tag.case == "nomn"), None)
    attributes = all(
        any(t.POS in ("ADJF", "PRTF", "NUMR") for t, _ in parses(word)) for word in between.split()
    )
    if tag is None or tags[0].POS not in ("NOUN",) or not attributes:
        return found[0]
    if between and parses(between.split()[0])[0][0].POS == "NUMR":
        ending = "ы"
    else:
        ending = _FORMS.get("plur" if tag.number == "plur" else tag.gender, "")
    stem = participle
    if stem.lower() in ("виден", "видн"):
        stem = stem[:3] + ("н" if ending else "ен")
    return f"{stem}{ending} {between}{noun}"
