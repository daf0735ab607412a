"""What the detectors saw, in plain sentences: "На фото мужчина и кот сидят. Также видно руку и диван."

A language model trained on some thousands of descriptions says little of what is known, and what it is
made to say breaks its sentences. So it writes the frame (layout and quotations), and these few templates
the things and what they do; only words are chosen by what was seen, their forms by pymorphy3.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence

from inference.russian.lexicon import inflected, parses, written

_NO_THINGS = frozenset(
    """
    аккаунт банк боль буква вариант версия верх вещь взгляд вид видео видеоролик вконтакте внешность
    внимание водяной воздух возраст вопрос вотермарка время выражение герой год голос город группа дата
    движение действие день друг жест жизнь запись звук знак зритель идея имя история канал качество
    количество конец контур копия край кусок кусочек куча лайк лево линия логотип мессенджер место минута
    мир мнение множество момент мочь мультик мысль название направление начало недоумение низ новость
    номер образ окружение опрос оригинал ответ отметка отношение оттенок паблик пара перед передача план
    поверхность подписчик поза половина положение полоса помощь попытка пора порода порядок право превью
    предел приложение причина проблема продолжение профиль процесс пункт путь работа раз размер ракурс
    рамка реакция результат реклама репост ролик роль ряд сайт свет сезон середина серия символ синь
    система ситуация скорость слово смысл содержание сообщение сообщество список способ статья стиль
    сторона страна сцена таблица тема тип тон точка угол фамилия форма фрагмент цвет цель центр час часть
    черта число читатель шутка экран эмоция эпизод язык яркость
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
_DRAWN = frozenset({"мультсериал", "мультфильм", "аниме", "рисунок", "арт", "картина", "человечек"})
# Names of the same: the likeliest of a group stands for it.
_SAME = (
    frozenset({"мужчина", "парень", "мальчик", "юноша"}),
    frozenset({"женщина", "девушка", "девочка"}),
    frozenset({"кот", "кошка", "котенок", "котик"}),
    frozenset({"собака", "пес", "щенок"}),
    frozenset({"лягушка", "лягушонок", "жаба"}),
    frozenset({"лицо", "морда", "голова"}),
    frozenset({"кровать", "диван"}),
    frozenset({"компьютер", "ноутбук", "монитор"}),
)
_PEOPLE = frozenset().union(*_SAME[:2]) | {"ребенок", "человечек"}
_BODY = frozenset(
    """
    рука голова лицо глаз нога тело палец рот зуб нос волос шерсть лапа лапка морда спина грудь ухо плечо
    улыбка борода живот ладонь лоб бровь подбородок шея колено кулак
    """.split()  # noqa: SIM905 - a word list
)
_IN_PLURAL = {
    "глаз": "глаза",
    "волос": "волосы",
    "зуб": "зубы",
    "субтитр": "субтитры",
    "деньга": "деньги",
    "рельс": "рельсы",
}
# What one can do beside another thing, and postures, of which one has only one at a time.
_ACTIONS = {
    "смотреть": "",
    "улыбаться": "",
    "держать": "что-то",
    "говорить": "",
    "думать": "",
    "плакать": "",
    "смеяться": "",
    "кричать": "",
    "курить": "",
    "пить": "",
    "читать": "",
}
_POSTURES = {
    "сидеть": "сидеть",
    "стоять": "стоять",
    "стоить": "стоять",  # how pymorphy3 parses "стоит"
    "лежать": "лежать",
    "идти": "идти",
    "бежать": "бежать",
    "спать": "спать",
    "лететь": "лететь",
    "висеть": "висеть",
}
_MOST_BEINGS, _MOST_THINGS, _MOST_ACTIONS = 3, 5, 3


def is_thing(concept: str) -> bool:
    """Whether a concept can be listed."""
    tag, _ = parses(concept)[0]
    return tag.POS == "NOUN" and concept not in _NO_THINGS and concept not in _SOURCES


def is_drawn(concepts: Iterable[str]) -> bool:
    """Whether these concepts are of a drawing, not of a photo."""
    return not _DRAWN.isdisjoint(concepts)


def tell_things(
    concepts: Sequence[tuple[str, float]], said: Collection[str], *, place: str, acting: float
) -> str:
    """A few sentences, or "".

    ``concepts``: those that are probable enough, with their probabilities; ``said``: lemmas that the caption
    has already; ``place``: what the first sentence begins with ("На фото"); ``acting``: how probable an
    action must be.
    """
    ordered = sorted(concepts, key=lambda pair: -pair[1])
    names = _distinct([concept for concept, _ in ordered if is_thing(concept)], said)
    beings = [name for name in names if _is_being(name)][:_MOST_BEINGS]
    things = [name for name in names if not _is_being(name)][:_MOST_THINGS]
    actions = _actions([concept for concept, probability in ordered if probability >= acting], said)
    if not beings and not actions and all(thing in _BODY for thing in things):
        # A hand of nobody must be as sure as an action: "На фото рука" is said too easily.
        things = [thing for thing in things if dict(concepts)[thing] >= acting]
    sentences = []
    known = [lemma for lemma in said if _is_being(lemma)]
    doing = _joined(_doing(action, many=len(beings) > 1) for action in actions)
    if beings:
        more = f"Ещё {place[0].lower()}{place[1:]}" if known else place
        sentences.append(f"{more} {_joined(map(_name, beings))} {doing}".strip() + ".")
    elif actions:
        subject = written(known[0]).capitalize() if len(known) == 1 else f"{place} кто-то"
        sentences.append(f"{subject} {doing}.")
    if things:
        things.sort(key=_BODY.__contains__)
        if sentences or known:
            sentences.append(f"Также видно {_joined(map(_seen, things))}.")
        else:
            sentences.append(f"{place} {_joined(map(_name, things))}.")
    source = next((_SOURCES[one] for one, _ in ordered if one in _SOURCES and one not in said), None)
    if source:
        sentences.append(f"Похоже на кадр из {source}.")
    return " ".join(sentences)


Seen = tuple[str, float]
"""A concept and how probable it is."""


def share_out(
    concepts: Sequence[Seen], by_frame: Sequence[Mapping[str, float]], listed: float
) -> tuple[list[Seen], list[list[Seen]]]:
    """What to tell of all frames together, and what of each, of what is on the picture.

    A being is told of every frame that has it, anything else once, where it is likeliest; what beings do, and
    their hands and faces, where there are beings. ``concepts``: of the whole picture; ``by_frame``: how
    probable they are on each frame, where ``listed`` is enough (and the likeliest one has it in any case).
    """
    names = _distinct([name for name, _ in sorted(concepts, key=lambda one: -one[1]) if is_thing(name)], ())
    concepts = [one for one in concepts if not is_thing(one[0]) or one[0] in names]
    everywhere: list[Seen] = []
    frames: list[list[Seen]] = [[] for _ in by_frame]
    beings = [one for one in concepts if _is_being(one[0])]
    for being, probability in beings:
        own = [seen[being] for seen in by_frame]
        least = min(listed, max(own))
        there = [frame for frame, value in zip(frames, own, strict=True) if value >= least]
        for told in [everywhere] if len(there) == len(frames) else there:
            told.append((being, probability))
    hosts = [number for number, frame in enumerate(frames) if frame]
    for concept, probability in concepts:
        if _is_being(concept):
            continue
        of_beings = concept in _BODY or not is_thing(concept)
        together = bool(everywhere) or not hosts
        all_have_it = all(seen[concept] >= listed for seen in by_frame)
        if together and (all_have_it or (of_beings and not hosts and everywhere)):
            everywhere.append((concept, probability))
            continue
        among = hosts if of_beings and hosts else range(len(frames))
        frames[max(among, key=lambda number: by_frame[number][concept])].append((concept, probability))
    return everywhere, frames


def _distinct(names: Iterable[str], said: Collection[str]) -> list[str]:
    """Each thing by one name, and none that was said."""
    kept: list[str] = []
    for name in names:
        same = next((group for group in _SAME if name in group), frozenset({name}))
        if same.isdisjoint(kept) and same.isdisjoint(said):
            kept.append(name)
    if "человек" in said:
        return [name for name in kept if name not in _PEOPLE]
    someone = not _PEOPLE.isdisjoint([*kept, *said])
    return [name for name in kept if name != "человек" or not someone]


def _is_being(concept: str) -> bool:
    return bool(is_thing(concept) and parses(concept)[0][0].animacy == "anim")


def _name(concept: str) -> str:
    return _IN_PLURAL.get(concept) or written(concept)


def _seen(concept: str) -> str:
    """What "видно" asks for: "руку", "глаза"."""
    number = {"accs", "plur"} if concept in _IN_PLURAL else {"accs"}
    return inflected(concept, number)


def _actions(concepts: Sequence[str], said: Collection[str]) -> list[str]:
    """At most one posture, first, and what is done in it."""
    fresh = [concept for concept in concepts if concept not in said]
    postures = (
        [] if any(one in said for one in _POSTURES) else [_POSTURES[one] for one in fresh if one in _POSTURES]
    )
    return [*postures[:1], *(one for one in fresh if one in _ACTIONS)][:_MOST_ACTIONS]


def _doing(action: str, *, many: bool) -> str:
    form = inflected(action, {"VERB", "3per", "pres", "plur" if many else "sing"})
    return f"{form} {_ACTIONS.get(action, '')}".strip()


def _joined(words: Iterable[str]) -> str:
    *first, last = list(words) or [""]
    return f"{', '.join(first)} и {last}" if first else last


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
    elif ending:
        stem = stem.replace("ё", "е")
    return f"{stem}{ending} {between}{noun}"
