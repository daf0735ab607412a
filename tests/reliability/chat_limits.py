"""``python -m tests.reliability.chat_limits``: the bot under Telegram's limits, and beside a limited group.

First people send pictures, alone and in a group, while the stand-in keeps to the limits that Telegram tells.
Then it refuses all that is said in one group for 40 seconds; 230 commands are given there, and meanwhile
others ask the bot for help. A run takes some three minutes, and little of a processor.
"""

from __future__ import annotations

import asyncio
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from bot.sandbox import Sandbox
from bot.sandbox.limits import RateLimits
from bot.sandbox.scene import GROUP
from bot.sandbox.world import Json
from tests.e2e.processes import fake_settings, running
from tests.reliability.harness import (
    FIRST_PERSON,
    Count,
    Row,
    calls_by_method,
    first_words,
    pictures,
    refused,
    remember_all_calls,
    send_pictures,
    show,
    until,
)

COMMANDS = 230
CLOSED = 40.0  # seconds
CALLERS = 23  # people who give the commands, ten each: what one may write at once


@dataclass(frozen=True, slots=True)
class Result:
    """What came of both parts."""

    count: Count
    refused: float  # requests a picture
    calls: dict[str, int]
    others: list[float]  # seconds for which each of the others waited
    refused_by_group: int


async def crowd(sandbox: Sandbox, number: int, people: int, in_group: int) -> list[Json]:
    """Pictures at once, each person's own and some in a group; until all are answered."""
    data = pictures(number + in_group)
    sent = await send_pictures(sandbox, data[:number], people)
    sent += [
        await sandbox.send_photo(
            picture, chat=GROUP, user=FIRST_PERSON + n % people, caption="@meme_describer_bot"
        )
        for n, picture in enumerate(data[number:])
    ]
    await until(lambda: not Count.of(sandbox, sent).lost, 600)
    return sent


async def one_limited_group(sandbox: Sandbox, limits: RateLimits, seconds: float, others: int) -> list[float]:
    """Seconds for which others wait while one group is limited and has its commands."""
    loop = asyncio.get_running_loop()
    group = -1_009_000_001
    limits.closed[group] = loop.time() + seconds
    for number in range(COMMANDS):
        await sandbox.send_text(
            "/help@meme_describer_bot", chat=group, user=FIRST_PERSON + 1000 + number % CALLERS
        )
    asked: dict[int, float] = {}
    for person in range(FIRST_PERSON + 2000, FIRST_PERSON + 2000 + others):
        await sandbox.send_text("/help", user=person)
        asked[person] = loop.time()
        await asyncio.sleep(seconds / 2 / others)
    await until(lambda: asked.keys() <= first_words(sandbox).keys(), 120)
    answered = first_words(sandbox)
    return [answered[person] - at for person, at in asked.items()]


async def measure(
    number: int, people: int, in_group: int, folder: Path, *, burst: int = 3, asking: int = 30
) -> Result:
    """Both parts, with one bot."""
    async with Sandbox() as sandbox:
        remember_all_calls(sandbox)
        sandbox.limits = RateLimits(burst)
        async with running(sandbox, folder, fake_settings(folder)):
            sent = await crowd(sandbox, number, people, in_group)
            count, calls = Count.of(sandbox, sent), calls_by_method(sandbox)
            share = refused(sandbox) / len(sent)
            sandbox.calls.clear()
            others = await one_limited_group(sandbox, sandbox.limits, CLOSED, asking)
            return Result(count, share, dict(calls), others, refused(sandbox))


def main(
    number: Annotated[int, typer.Option("--pictures", help="Of all people together.")] = 400,
    people: Annotated[int, typer.Option(help="How many send them.")] = 80,
    in_group: Annotated[int, typer.Option(help="Pictures besides, in a group.")] = 15,
    burst: Annotated[int, typer.Option(help="Requests that a chat lets through at once.")] = 3,
) -> None:
    """Requests refused under Telegram's limits, and others' wait while one group is limited."""
    with tempfile.TemporaryDirectory() as folder:
        result = asyncio.run(measure(number, people, in_group, Path(folder), burst=burst))
    worst = max(result.others)
    good = show(
        f"{number} pictures of {people} people, {in_group} in a group; {COMMANDS} commands in a limited one",
        [
            Row("refused requests a picture", "1.6", f"{result.refused:.3f}", "< .05", result.refused < 0.05),
            Row("pictures lost", "0", str(result.count.lost), "0", not result.count.lost),
            Row("pictures described twice", "", str(result.count.doubled), "0", not result.count.doubled),
            Row(f"others' longest wait of {len(result.others)}, s", "39.7", f"{worst:.1f}", "< 5", worst < 5),
            Row(
                "requests that the limited group refused", "", str(result.refused_by_group), "", reached=True
            ),
        ],
    )
    print(", ".join(f"{name} {count}" for name, count in sorted(result.calls.items())))
    raise typer.Exit(0 if good else 1)


if __name__ == "__main__":
    typer.run(main)
