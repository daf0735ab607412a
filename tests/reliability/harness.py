"""What the commands of this package share: the real bot before the stand-in, people, counting, the table.

The stand-in runs in the command's own process, the bot in one of its own with a captioner that costs nothing
(`tests/e2e/fakes.py`). All of it is on loopback and in a temporary folder.
"""

from __future__ import annotations

import asyncio
import json
import math
import random
import socket
import sys
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from PIL import Image
from rich.console import Console
from rich.table import Table

from bot.sandbox import Sandbox
from bot.sandbox.faults import Call, Fault, FaultKind, Faults
from bot.sandbox.world import Json
from bot.texts import sentences, texts
from tests.drawing import jpeg_bytes
from tests.e2e.fakes import TEXT

FIRST_PERSON = 7_000
LATER = texts("ru")(sentences.LATER)
_NO_ANSWER = (LATER, texts("ru")(sentences.TAKES_LONGER))


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


async def until(condition: Callable[[], object], seconds: float) -> None:
    """Look twice a second: all calls are gone through each time. Raises TimeoutError."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.5)


def answer_times(sandbox: Sandbox) -> dict[int, float]:
    """When each message was first answered, by the event loop's clock."""
    first: dict[int, float] = {}
    for call in sandbox.calls:
        if call.status == 200 and (number := replied_to(call)) is not None:
            first.setdefault(number, call.at)
    return first


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


class RandomFaults(Faults):
    """A ``share`` of all calls fail, as servers and networks do; of every third of these the work is done.

    Nothing fails while ``share`` is 0.
    """

    KINDS: ClassVar[tuple[FaultKind, ...]] = (
        *("server_error", "bad_gateway", "flood", "reset", "reset_after", "reset_after"),
    )

    def __init__(self, *, seed: int = 0) -> None:
        super().__init__()
        self.share = 0.0
        self._chance = random.Random(seed)

    def take(self, method: str, values: Mapping[str, Any]) -> Fault | None:
        """One that was ordered, else one by chance."""
        ordered = super().take(method, values)
        if ordered is not None or self._chance.random() >= self.share:
            return ordered
        return Fault(method, self._chance.choice(self.KINDS))


@dataclass(frozen=True, slots=True)
class Said:
    """What a probe said once."""

    path: str
    at: float  # when it was asked, by the event loop's clock
    took: float  # seconds
    status: int  # of HTTP; 0: no answer


class Probes:
    """What ``/healthz`` and ``/readyz`` say, asked by a process of its own while the block runs, by phase."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._said: list[Said] = []
        self._phases: list[tuple[str, float]] = []

    async def __aenter__(self) -> Self:
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.reliability.asked", str(self._port)),
            stdout=asyncio.subprocess.PIPE,
        )
        self._task = asyncio.create_task(self._listen())
        await until(lambda: self._said, 60)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._process.kill()
        await asyncio.gather(self._process.wait(), self._task)

    async def _listen(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            self._said.append(Said(*json.loads(line)))

    def now(self, phase: str) -> None:
        """A new phase begins."""
        self._phases.append((phase, asyncio.get_running_loop().time()))

    def said(self, phase: str, path: str) -> list[Said]:
        """Of what was asked in the phase and has an answer, or will have none; in order."""
        begun, ended = self._times(phase)
        found = [one for one in self._said if one.path == path and begun <= one.at < ended]
        return sorted(found, key=lambda one: one.at)

    def seconds_until(self, phase: str, *, well: bool, path: str = "/readyz") -> float:
        """From the phase's beginning until it was told truly for the rest of it; inf: never."""
        said = self.said(phase, path)
        wrong = [one.at for one in said if (one.status == 200) is not well]
        right = [one.at for one in said if (one.status == 200) is well and (not wrong or one.at > wrong[-1])]
        return right[0] - self._times(phase)[0] if right else math.inf

    def _times(self, phase: str) -> tuple[float, float]:
        number = next(n for n, (name, _) in enumerate(self._phases) if name == phase)
        following = self._phases[number + 1 :]
        return self._phases[number][1], following[0][1] if following else math.inf


def free_port() -> int:
    """One that nobody listens at."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


@dataclass(frozen=True, slots=True)
class Count:
    """What became of pictures."""

    pictures: int
    lost: int  # neither described nor told why not
    doubled: int  # described more than once
    doubled_unasked: int  # of them those of which every answer reached the bot
    noted: int  # the note with the button stands in the caption's place, or beside it

    @classmethod
    def of(cls, sandbox: Sandbox, sent: Sequence[Json]) -> Self:
        """As the chats look now. That it takes longer, and the place in the queue, are no answers."""
        said: defaultdict[int, list[str]] = defaultdict(list)
        for chat in {message["chat"]["id"] for message in sent}:
            for one in sandbox.messages(chat, by_bot=True):
                if one["text"] not in _NO_ANSWER and "в очереди" not in one["text"]:
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


def said(sandbox: Sandbox, sent: Sequence[Json], sentence: str) -> Counter[int]:
    """How often each chat of the messages was told this, after the first of them."""
    first = min(message["message_id"] for message in sent)
    return Counter(
        chat
        for chat in {message["chat"]["id"] for message in sent}
        for one in sandbox.messages(chat, by_bot=True)
        if one["message_id"] > first and one["text"] == sentence
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
