"""A folder that looks like the project's to whoever types the commands of the pages, with small data."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
from pathlib import Path

from bot.feedback.commands import run_export
from bot.feedback.store import Store
from tests.bot.feedback.conftest import Chat, meme
from tests.docs.pages import ROOT
from tests.drawing import Kind, draw_meme, jpeg_bytes

ERASED = 12345678  # the Telegram id of operating.md
_LINKED = ("bot", "inference", "train_scripts", "tests", "Makefile", "pyproject.toml", "constraints.txt")
_MEMES: tuple[tuple[Kind, tuple[str, ...]], ...] = (
    ("caption_bar", ("КОТ ПРОСНУЛСЯ",)),
    ("text_only", ("ПОСЛЕ ЗАРПЛАТЫ",)),
    ("two_frames", ("ЯСНОЕ УТРО", "ТЁМНЫЙ ВЕЧЕР")),
)


def environment() -> dict[str, str]:
    """Of the commands: nothing of the caller's settings, no fixed port, no network."""
    return {
        **{name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ},
        "PYTHONUNBUFFERED": "1",
        "OMP_NUM_THREADS": "1",
        "SANDBOX_PORT": "0",
        "HF_HUB_OFFLINE": "1",
        "HF_DATASETS_CACHE": "datasets-cache",
        "COLUMNS": "110",
    }


def make_project(folder: Path) -> None:
    """The code by links, what commands change as copies; data under the names that the pages use."""
    folder.mkdir(exist_ok=True)
    for name in _LINKED:
        (folder / name).symlink_to(ROOT / name)
    shutil.copy(ROOT / ".env.example", folder)
    shutil.copytree(ROOT / "checkpoints", folder / "checkpoints")
    (folder / "runs").mkdir()
    _venv(folder / ".venv")
    _pictures(folder)
    asyncio.run(_feedback(folder))
    run_export(f"sqlite+aiosqlite:///{folder}/data/bot.db", folder / "data", folder / "feedback")


def _venv(folder: Path) -> None:
    """That of this process, for which `make` finds that everything is installed."""
    folder.mkdir()
    for path in Path(sys.prefix).iterdir():
        if path.suffix != ".stamp":
            (folder / path.name).symlink_to(path)
    (folder / "run.stamp").touch()


def _pictures(folder: Path) -> None:
    """`memes` with its two splits, `meme.jpg`, a table of captions, and captions of photos."""
    (folder / "memes" / "images").mkdir(parents=True)
    table = ["file_name,text\n"]
    for split, width in (("train", 300), ("val", 310)):
        rows = []
        for number, (kind, words) in enumerate(_MEMES):
            name = f"images/{split}-{number}.jpg"
            (folder / "memes" / name).write_bytes(jpeg_bytes(draw_meme(kind, *words, width=width)))
            text = " ".join(f'Подпись: "{one}".' for one in words)
            rows.append(json.dumps({"file_name": name, "text": text}, ensure_ascii=False) + "\n")
            table.append(f"memes/{name},Кот на картинке номер {number}\n")
        (folder / "memes" / f"{split}.jsonl").write_text("".join(rows), encoding="utf-8")
    (folder / "captions.csv").write_text("".join(table), encoding="utf-8")
    shutil.copy(folder / "memes" / "images" / "val-0.jpg", folder / "meme.jpg")


async def _feedback(folder: Path) -> None:
    """A database in which people marked and corrected, with the pictures that they let be kept."""
    async with await Store.open(f"sqlite+aiosqlite:///{folder}/data/bot.db", folder / "data") as store:
        chat = Chat(store)
        anna, boris = await chat.person(1), await chat.person(ERASED)
        for words in ("КОТ", "ПЁС", "ЁЖ"):
            row = await chat.answer(anna, meme(words))
            await store.marks.rate(anna.id, row.id, 5)
            await store.marks.correct(anna.id, row.id, f'На картинке кот. Подпись: "{words}".')
        await store.marks.rate(boris.id, row.id, 2)
