"""What the commands of this package share: the real bot before the stand-in, people, counting, the table.

The stand-in runs in the command's own process, the bot in one of its own with a captioner that costs nothing
(`tests/e2e/fakes.py`). All of it is on loopback and in a temporary folder.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter, defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image
from rich.console import Console
from rich.table import Table

from bot.sandbox import Sandbox
from bot.sandbox.faults import Call
from bot.sandbox.world import Json
from tests.drawing import jpeg_bytes
from tests.e2e.fakes import TEXT

FIRST_PERSON = 7_000


def pictures(count: int, *, seed: int = 0) -> list[bytes]:
    """No two alike: a picture that was described before would cost nothing."""
    chance = random.Random(seed)
    return [
        jpeg_bytes(Image.new("RGB", (200 + n % 100, 150 + n // 100), tuple(chance.randbytes(3))))
        for n in range(count)
    ]


def remember_all_calls(sandbox: Sandbox) -> None:
    """Without a bound to their number."""
    sandbox.calls = deque(sandbox.calls)


async def send_pictures(
    sandbox: Sandbox, data: Sequence[bytes], people: int, *, within: float = 0.0
) -> list[Json]:
    """The people send them in turn, spread over so many seconds; the messages."""
    sent = []
    for number, picture in enumerate(data):
        sent.append(await sandbox.send_photo(picture, user=FIRST_PERSON + number % people))
        await asyncio.sleep(within / len(data))
    return sent


def replied_to(call: Call) -> int | None:
    """The number of the message that this one answers."""
    if call.method != "sendMessage" or not (parameters := call.params.get("reply_parameters")):
        return None
    return int(json.loads(parameters)["message_id"])


def first_words(sandbox: Sandbox) -> dict[int, float]:
    """When the bot first said something in each chat, by the event loop's clock."""
    first: dict[int, float] = {}
    for call in sandbox.calls:
        if call.method == "sendMessage" and call.status == 200:
            first.setdefault(int(call.params["chat_id"]), call.at)
    return first


def refused(sandbox: Sandbox) -> int:
    """Calls that ran into a limit."""
    return sum(call.status == 429 for call in sandbox.calls)


@dataclass(frozen=True, slots=True)
class Count:
    """What became of pictures."""

    pictures: int
    lost: int  # neither described nor told why not
    doubled: int  # described more than once
    doubled_unasked: int  # of them those of which every answer reached the bot
    noted: int  # the note with the button stands in the caption's place, or beside it

    @classmethod
    def of(cls, sandbox: Sandbox, sent: Sequence[Json]) -> Count:
        """As the chats look now."""
        said: defaultdict[int, list[str]] = defaultdict(list)
        for chat in {message["chat"]["id"] for message in sent}:
            for one in sandbox.messages(chat, by_bot=True):
                said[one.get("reply_to_message", {}).get("message_id", 0)].append(one["text"])
        in_doubt = {replied_to(call) for call in sandbox.calls if call.status in (0, None)}
        captions = {n: sum(TEXT in text for text in texts) for n, texts in said.items()}
        numbers = [message["message_id"] for message in sent]
        doubled = [number for number in numbers if captions.get(number, 0) > 1]
        return cls(
            pictures=len(sent),
            lost=sum(not said[number] for number in numbers),
            doubled=len(doubled),
            doubled_unasked=len([number for number in doubled if number not in in_doubt]),
            noted=sum(any("нажмите кнопку" in text for text in said[number]) for number in numbers),
        )


@dataclass(frozen=True, slots=True)
class Row:
    """One figure: what it was when the issue was written, what it is, and what it shall be."""

    name: str
    before: str
    now: str
    aim: str
    reached: bool


def show(title: str, rows: Sequence[Row]) -> bool:
    """Print the figures; returns whether all are as they shall be."""
    table = Table("", title=title)
    for name in ("before", "now", "aim", ""):
        table.add_column(name, justify="right")
    for row in rows:
        table.add_row(row.name, row.before, row.now, row.aim, "yes" if row.reached else "NO")
    Console(width=110).print(table)
    return all(row.reached for row in rows)


def calls_by_method(sandbox: Sandbox) -> Counter[str]:
    """How many of each, polls and files left out."""
    return Counter(call.method for call in sandbox.calls if call.method not in ("getUpdates", "download"))
