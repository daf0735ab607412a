"""Feedback of three people, and how an export is looked at."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bot.feedback.store import Store
from tests.bot.feedback.conftest import Chat, meme

COLUMNS = [
    "file_name",
    "text",
    "rating",
    "model",
    "checkpoint",
    "options",
    "words",
    "user",
    "created_at",
    "rated_at",
    "corrected_at",
    "corrected",
    "caption",
    "picture",
    "converted_from",
]


def rows(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metadata.jsonl").read_text(encoding="utf-8").splitlines()]


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


@pytest.fixture
async def told(chat: Chat, store: Store) -> Chat:
    """Anna: 5; Boris: only a correction, 2 on Anna's caption; Vera keeps nothing: 3 and a correction."""
    anna, boris, vera = await chat.person(1), await chat.person(2), await chat.person(3, consent=False)
    first = await chat.answer(anna, meme("ПЕРВАЯ"), words=("ПЕРВАЯ", "строка два"))
    await store.marks.rate(anna.id, first.id, 5)
    await store.marks.rate(boris.id, first.id, 2)
    second = await chat.answer(boris, meme("ВТОРАЯ"))
    await store.marks.correct(boris.id, second.id, "=Кот, «черновик»")
    await store.marks.correct(boris.id, second.id, 'Кот говорит: "ВТОРАЯ",\nи спит')
    third = await chat.answer(vera, meme("ТРЕТЬЯ"))
    await store.marks.rate(vera.id, third.id, 3)
    await store.marks.correct(vera.id, third.id, "Исправлено без картинки")
    await chat.answer(anna, meme("НИКТО НЕ ОЦЕНИЛ"))
    return chat
