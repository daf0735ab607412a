"""``python -m tests.reliability.loop``: what holds the bot's event loop, and for which pictures it types.

Many people send pictures at once, to a bot whose captioner costs nothing, so that the loop has all the work.
Beside what the clock says stands the processor's time: on a machine with other work a step that was only
interrupted is no step that holds the loop. A run takes a minute or two.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from bot.sandbox import Sandbox
from bot.sandbox.world import Json
from tests.e2e.processes import fake_settings, running
from tests.reliability.harness import (
    Count,
    Row,
    answer_times,
    pictures,
    remember_all_calls,
    send_pictures,
    show,
    until,
)

LONGEST = 0.1  # s
_SHOWN = 5  # steps


@dataclass(frozen=True, slots=True)
class Step:
    """A callback of the event loop: seconds by the clock, of the processor, and what it was."""

    held: float
    worked: float
    what: str


@dataclass(frozen=True, slots=True)
class Result:
    """Steps of more than a fiftieth of a second, the longest first, and the typing notices."""

    steps: list[Step]
    count: Count
    seconds: float
    typing: int
    typing_for_nothing: int  # in chats none of whose pictures was in work

    @property
    def worst(self) -> Step:
        """The one that worked for longest."""
        return max(self.steps, key=lambda step: step.worked, default=Step(0, 0, "none"))


def typed(sandbox: Sandbox, sent: Sequence[Json]) -> tuple[int, int]:
    """How many notices were shown, and how many of them while no picture of their chat was in work.

    In work it is from when its file is asked for until it is answered.
    """
    owner = {size["file_id"]: message for message in sent for size in message["photo"]}
    begun: dict[int, float] = {}
    for call in sandbox.calls:
        if call.method == "getFile" and (message := owner.get(call.params["file_id"])) is not None:
            begun.setdefault(message["message_id"], call.at)
    ended = answer_times(sandbox)
    work: defaultdict[int, list[tuple[float, float]]] = defaultdict(list)
    for message in sent:
        number = message["message_id"]
        if number in begun:
            work[message["chat"]["id"]].append((begun[number], ended.get(number, float("inf"))))
    notices = [call for call in sandbox.calls if call.method == "sendChatAction"]
    idle = [
        call
        for call in notices
        if not any(since <= call.at <= until for since, until in work[int(call.params["chat_id"])])
    ]
    return len(notices), len(idle)


async def measure(number: int, people: int, folder: Path) -> Result:
    """All pictures at once, until every one is answered."""
    held = folder / "held.jsonl"
    command = ["-m", "tests.benchmarks.watched", str(held), "run"]
    async with Sandbox() as sandbox:
        remember_all_calls(sandbox)
        async with running(sandbox, folder, fake_settings(folder), command):
            # Starting is not what this is about.
            first = await send_pictures(sandbox, pictures(1, seed=1), 1)
            await until(lambda: not Count.of(sandbox, first).lost, 120)
            started = time.monotonic()
            sent = await send_pictures(sandbox, pictures(number), people)
            await until(lambda: len(answer_times(sandbox)) > number, 900)
            seconds = time.monotonic() - started
    lines = [json.loads(line) for line in held.read_text("utf-8").splitlines()] if held.exists() else []
    steps = [Step(*rest) for ended, *rest in lines if ended > started]
    steps.sort(key=lambda step: -step.held)
    return Result(steps, Count.of(sandbox, sent), seconds, *typed(sandbox, sent))


def main(
    number: Annotated[int, typer.Option("--pictures", help="Of all people together.")] = 1000,
    people: Annotated[int, typer.Option(help="How many send them.")] = 200,
) -> None:
    """What holds the bot's event loop, and for which pictures it types."""
    with tempfile.TemporaryDirectory() as folder:
        result = asyncio.run(measure(number, people, Path(folder)))
    longest, worst = max((step.held for step in result.steps), default=0.0), result.worst
    needless = result.typing_for_nothing
    good = show(
        f"{number} pictures of {people} people at once, in {result.seconds:.0f} s",
        [
            Row(
                "longest step, ms of processor",
                "650",
                f"{worst.worked * 1000:.0f}",
                "< 100",
                worst.worked < LONGEST,
            ),
            Row("longest step, ms by the clock", "", f"{longest * 1000:.0f}", "", reached=True),
            Row("typing notices", "", str(result.typing), "", reached=True),
            Row("  of them for what is not in work", "", str(needless), "0", not needless),
            Row("pictures lost", "0", str(result.count.lost), "0", not result.count.lost),
        ],
    )
    for step in sorted(result.steps, key=lambda one: -one.worked)[:_SHOWN]:
        spent = f"{1000 * step.worked:.0f} ms of processor, {1000 * step.held:.0f} by the clock"
        Console().print(f"{spent}: {step.what[:300]}", markup=False, highlight=False)
    raise typer.Exit(0 if good else 1)


if __name__ == "__main__":
    typer.run(main)
