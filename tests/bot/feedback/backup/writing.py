"""A process that fills a store without pause, and prints each picture once it is written: no test."""

from __future__ import annotations

import asyncio
import itertools
import sys
from pathlib import Path

from bot.feedback.store import Store
from tests.bot.feedback.conftest import Chat


def drawn(number: int) -> bytes:
    """What stands for a picture: the bytes that a JPEG begins with, and a number."""
    return b"\xff\xd8\xff" + str(number).encode() * 500


async def write(url: str, data_dir: Path) -> None:
    """For ever."""
    async with await Store.open(url, data_dir) as store:
        chat = Chat(store)
        anna = await chat.person(1)
        for number in itertools.count():
            row = await chat.answer(anna, drawn(number))
            await store.marks.rate(anna.id, row.id, 1 + number % 5)
            print(number, flush=True)


if __name__ == "__main__":
    asyncio.run(write(sys.argv[1], Path(sys.argv[2])))
