"""Russian sentences about a picture from what was found on it: rules, no model.

Places are fractions (0..1) of the upright picture, boxes are (left, top, right, bottom).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from inference.common.types import TextLine
from inference.reading.inscriptions import inscriptions
from inference.reading.merge import Box, shared_area


@dataclass(frozen=True, slots=True)
class Noun:
    """A countable thing: its forms after one, after two to four, and after five or more.

    ``gender`` "p" is a noun without a singular, counted as in "двое ножниц".
    """

    one: str
    few: str
    many: str
    gender: Literal["m", "f", "n", "p"] = "m"


@dataclass(frozen=True, slots=True)
class Thing:
    """One thing seen on the picture: its name in :data:`COCO`, its place, and how sure that is (0..1)."""

    label: str
    box: Box
    score: float


# The classes of COCO 2017 as torchvision calls them. Its numbers go to 91; eleven of those are unused.
COCO: dict[str, Noun] = {
    "person": Noun("человек", "человека", "человек"),
    "bicycle": Noun("велосипед", "велосипеда", "велосипедов"),
    "car": Noun("машина", "машины", "машин", "f"),
    "motorcycle": Noun("мотоцикл", "мотоцикла", "мотоциклов"),
    "airplane": Noun("самолёт", "самолёта", "самолётов"),
    "bus": Noun("автобус", "автобуса", "автобусов"),
    "train": Noun("поезд", "поезда", "поездов"),
    "truck": Noun("грузовик", "грузовика", "грузовиков"),
    "boat": Noun("лодка", "лодки", "лодок", "f"),
    "traffic light": Noun("светофор", "светофора", "светофоров"),
    "fire hydrant": Noun("пожарный гидрант", "пожарных гидранта", "пожарных гидрантов"),
    "stop sign": Noun("знак «Стоп»", "знака «Стоп»", "знаков «Стоп»"),
    "parking meter": Noun("паркомат", "паркомата", "паркоматов"),
    "bench": Noun("скамейка", "скамейки", "скамеек", "f"),
    "bird": Noun("птица", "птицы", "птиц", "f"),
    "cat": Noun("кошка", "кошки", "кошек", "f"),
    "dog": Noun("собака", "собаки", "собак", "f"),
    "horse": Noun("лошадь", "лошади", "лошадей", "f"),
    "sheep": Noun("овца", "овцы", "овец", "f"),
    "cow": Noun("корова", "коровы", "коров", "f"),
    "elephant": Noun("слон", "слона", "слонов"),
    "bear": Noun("медведь", "медведя", "медведей"),
    "zebra": Noun("зебра", "зебры", "зебр", "f"),
    "giraffe": Noun("жираф", "жирафа", "жирафов"),
    "backpack": Noun("рюкзак", "рюкзака", "рюкзаков"),
    "umbrella": Noun("зонт", "зонта", "зонтов"),
    "handbag": Noun("сумка", "сумки", "сумок", "f"),
    "tie": Noun("галстук", "галстука", "галстуков"),
    "suitcase": Noun("чемодан", "чемодана", "чемоданов"),
    "frisbee": Noun("летающий диск", "летающих диска", "летающих дисков"),
    "skis": Noun("лыжи", "лыж", "лыж", "p"),
    "snowboard": Noun("сноуборд", "сноуборда", "сноубордов"),
    "sports ball": Noun("мяч", "мяча", "мячей"),
    "kite": Noun("воздушный змей", "воздушных змея", "воздушных змеев"),
    "baseball bat": Noun("бейсбольная бита", "бейсбольные биты", "бейсбольных бит", "f"),
    "baseball glove": Noun("бейсбольная перчатка", "бейсбольные перчатки", "бейсбольных перчаток", "f"),
    "skateboard": Noun("скейтборд", "скейтборда", "скейтбордов"),
    "surfboard": Noun("доска для сёрфинга", "доски для сёрфинга", "досок для сёрфинга", "f"),
    "tennis racket": Noun("теннисная ракетка", "теннисные ракетки", "теннисных ракеток", "f"),
    "bottle": Noun("бутылка", "бутылки", "бутылок", "f"),
    "wine glass": Noun("бокал", "бокала", "бокалов"),
    "cup": Noun("чашка", "чашки", "чашек", "f"),
    "fork": Noun("вилка", "вилки", "вилок", "f"),
    "knife": Noun("нож", "ножа", "ножей"),
    "spoon": Noun("ложка", "ложки", "ложек", "f"),
    "bowl": Noun("миска", "миски", "мисок", "f"),
    "banana": Noun("банан", "банана", "бананов"),
    "apple": Noun("яблоко", "яблока", "яблок", "n"),
    "sandwich": Noun("бутерброд", "бутерброда", "бутербродов"),
    "orange": Noun("апельсин", "апельсина", "апельсинов"),
    "broccoli": Noun("брокколи", "кочана брокколи", "кочанов брокколи"),
    "carrot": Noun("морковка", "морковки", "морковок", "f"),
    "hot dog": Noun("хот-дог", "хот-дога", "хот-догов"),
    "pizza": Noun("пицца", "пиццы", "пицц", "f"),
    "donut": Noun("пончик", "пончика", "пончиков"),
    "cake": Noun("торт", "торта", "тортов"),
    "chair": Noun("стул", "стула", "стульев"),
    "couch": Noun("диван", "дивана", "диванов"),
    "potted plant": Noun("растение в горшке", "растения в горшках", "растений в горшках", "n"),
    "bed": Noun("кровать", "кровати", "кроватей", "f"),
    "dining table": Noun("стол", "стола", "столов"),
    "toilet": Noun("унитаз", "унитаза", "унитазов"),
    "tv": Noun("телевизор", "телевизора", "телевизоров"),
    "laptop": Noun("ноутбук", "ноутбука", "ноутбуков"),
    "mouse": Noun("компьютерная мышь", "компьютерные мыши", "компьютерных мышей", "f"),
    "remote": Noun("пульт", "пульта", "пультов"),
    "keyboard": Noun("клавиатура", "клавиатуры", "клавиатур", "f"),
    "cell phone": Noun("телефон", "телефона", "телефонов"),
    "microwave": Noun("микроволновка", "микроволновки", "микроволновок", "f"),
    "oven": Noun("духовка", "духовки", "духовок", "f"),
    "toaster": Noun("тостер", "тостера", "тостеров"),
    "sink": Noun("раковина", "раковины", "раковин", "f"),
    "refrigerator": Noun("холодильник", "холодильника", "холодильников"),
    "book": Noun("книга", "книги", "книг", "f"),
    "clock": Noun("часы", "часов", "часов", "p"),
    "vase": Noun("ваза", "вазы", "ваз", "f"),
    "scissors": Noun("ножницы", "ножниц", "ножниц", "p"),
    "teddy bear": Noun("плюшевый мишка", "плюшевых мишки", "плюшевых мишек"),
    "hair drier": Noun("фен", "фена", "фенов"),
    "toothbrush": Noun("зубная щётка", "зубные щётки", "зубных щёток", "f"),
}

_NUMBERS = ("три", "четыре", "пять", "шесть", "семь", "восемь", "девять", "десять")
_COLLECTIVE = (
    "двое", "трое", "четверо", "пятеро", "шестеро", "семеро", "восьмеро", "девятеро", "десятеро",
)  # fmt: skip
_ORDINALS = (
    "первый", "второй", "третий", "четвёртый", "пятый", "шестой", "седьмой", "восьмой", "девятый",
)  # fmt: skip

_MOST_KINDS = 6  # of things that one sentence names: a longer list is not listened to
_NARROW = 0.45  # of the picture's side: a wider thing is not "on the left"
_SIDE = 0.38  # of the picture's side: the middle of what stands at the left or top lies before it
_OVERLAP = 0.25  # of the narrower: things that share more of their breadth do not stand in a row
_NOTHING = "Знакомых предметов на картинке не видно."


def counted(noun: Noun, count: int) -> str:
    """As in: собака, две собаки, пять собак, больше десяти собак. ``count`` >= 1."""
    if count == 1:
        return noun.one
    if count > 10:
        return f"больше десяти {noun.many}"
    if noun.gender == "p":
        return f"{_COLLECTIVE[count - 2]} {noun.many}"
    if count == 2:
        return f"{'две' if noun.gender == 'f' else 'два'} {noun.few}"
    return f"{_NUMBERS[count - 3]} {noun.few if count < 5 else noun.many}"


def listed(parts: Sequence[str]) -> str:
    """As in: а; а и б; а, б и в."""
    return " и ".join((", ".join(parts[:-1]), parts[-1])) if len(parts) > 1 else "".join(parts)


def compose(things: Sequence[Thing], lines: Sequence[TextLine], frames: Sequence[Box]) -> str:
    """A caption: what is on the picture, frame by frame where there are several, and the words read there.

    ``frames``: the pictures within the picture, in reading order; none or one = not a comic.
    """
    things = [thing for thing in things if thing.label in COCO]
    if len(frames) > 1:
        return _comic(things, lines, frames)
    seen = f"На картинке{_what(things)}." if things else _NOTHING
    return " ".join(filter(None, (seen, inscriptions(lines, frames))))


def _comic(things: Sequence[Thing], lines: Sequence[TextLine], frames: Sequence[Box]) -> str:
    inside: list[list[Thing]] = [[] for _ in frames]
    for thing in things:
        best = max(range(len(frames)), key=lambda i: shared_area(thing.box, frames[i]))
        if shared_area(thing.box, frames[best]) > 0:
            inside[best].append(thing)
    sentences = [
        f"{_ordinal(number)} кадр{_what(own, frame=True)}." for number, own in enumerate(inside) if own
    ]
    return " ".join(filter(None, (*(sentences or [_NOTHING]), inscriptions(lines, frames))))


def _ordinal(number: int) -> str:
    return _ORDINALS[number].capitalize() if number < len(_ORDINALS) else f"{number + 1}-й"


def _what(things: Sequence[Thing], *, frame: bool = False) -> str:
    """What stands behind «На картинке» or «Первый кадр»: « слева направо: человек, собака и машина»."""
    groups: dict[str, list[Thing]] = {}
    # The large come first: they are what the picture is of.
    for thing in sorted(things, key=lambda one: _area(one.box), reverse=True):
        groups.setdefault(thing.label, []).append(thing)
    kinds = list(groups.items())[:_MOST_KINDS]
    way = ""
    if all(len(own) == 1 for _, own in kinds):
        boxes = [own[0].box for _, own in kinds]
        if len(kinds) == 1:
            # "Первый кадр слева" would say where the frame is.
            way = "" if frame else _side(boxes[0])
        else:
            for axis, words in ((0, "слева направо"), (1, "сверху вниз")):
                if _in_a_row(boxes, axis):
                    kinds.sort(key=lambda kind: kind[1][0].box[axis])
                    way = f", {words}" if frame else f" {words}"
                    break
    return f"{way}: {listed([counted(COCO[label], len(own)) for label, own in kinds])}"


def _side(box: Box) -> str:
    if box[2] - box[0] > _NARROW:
        return ""
    middle = (box[0] + box[2]) / 2
    return " слева" if middle < _SIDE else " справа" if middle > 1 - _SIDE else ""


def _in_a_row(boxes: Sequence[Box], axis: int) -> bool:
    spans = sorted((box[axis], box[axis + 2]) for box in boxes)
    return all(
        end - start <= _OVERLAP * min(end - low, high - start)
        for (low, end), (start, high) in pairwise(spans)
    )


def _area(box: Box) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])
