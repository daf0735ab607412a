"""Captions for the metrics' tests: ordinary, adversarial, and the real val split where it is at hand."""

from __future__ import annotations

from pathlib import Path

from train_scripts.data.captions import read_captions

Pairs = list[tuple[str, str]]  # prediction, reference

ORDINARY: Pairs = [
    (
        'Мем из двух кадров. Надпись сверху: "Когда понедельник". Внизу спит серый кот.',
        'Мем. На верхнем кадре надпись: "Когда наступил понедельник". На нижнем кадре на диване спит кот.',
    ),
    (
        "Скриншот твита: «Я не опаздываю, я создаю интригу». Ниже фото часов.",
        "Твит пользователя clockwork: «Я не опаздываю — я создаю интригу!». Ниже фотография настенных часов.",
    ),
    (
        "Комикс про робота, который поливает кактус и грустит, потому что кактус не растёт.",
        "Комикс. Робот каждый день поливает кактус. Кактус не растет, и робот грустит.",
    ),
    (
        'On the sign: "Keep calm and drink tea". Собака в шляпе держит кружку.',
        'Вывеска на английском: "Keep calm and drink tea (Сохраняй спокойствие и пей чай)". Рядом собака.',
    ),
]

ADVERSARIAL: Pairs = [
    ("", "Кот сидит на окне и смотрит на дождь."),
    ("Кот сидит на окне и смотрит на дождь.", ""),
    ("", ""),
    ("кот", "кот"),
    ("кот", "Кот сидит на окне."),
    ("Кот сидит на окне.", "пёс"),
    ("кот кот кот кот кот кот кот кот", "кот и пёс, пёс и кот"),
    ("на фото кот на фото кот на фото кот", "на фото кот"),
    ("...", "?!"),
    ("!!! ,,, :::", "Кот: «мяу!»"),
    ('"', '""'),
    ("  \t ", "\u00a0кот\u200b"),
    ("🐈 кот 🐈", "кот 🐈"),
    ("ёлка Ёлка елка", "елка ёлка ЁЛКА"),
]

_VAL = Path(__file__).resolve().parents[3] / "shared" / "memes" / "val.jsonl"


def _val_pairs() -> Pairs:
    """Half of each reference joined to half of the next one's: predictions that share long runs with both."""
    texts = list(read_captions(_VAL).values())
    pairs = []
    for text, following in zip(texts, texts[1:] + texts[:1], strict=True):
        words, others = text.split(), following.split()
        pairs.append((" ".join(words[: len(words) // 2] + others[len(others) // 2 :]), text))
    return pairs


SETS: dict[str, Pairs] = {
    "ordinary": ORDINARY,
    "adversarial": ADVERSARIAL,
    "together": ORDINARY + ADVERSARIAL,
} | ({"val": _val_pairs()} if _VAL.exists() else {})
