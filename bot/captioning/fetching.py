"""Files of pictures: fetched within the memory there is for them, and asked for again while they are away."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager, nullcontext
from pathlib import Path

from aiogram import Bot
from aiogram.exceptions import AiogramError, TelegramBadRequest, TelegramNotFound, TelegramRetryAfter
from aiohttp import ClientError, ClientResponseError

from bot.captioning.models import is_elsewhere
from bot.captioning.outcomes import Unanswerable, Wait
from bot.captioning.room import Room
from bot.feedback.tables import Job
from bot.middlewares.requests import single_attempt

FETCH_PAUSES = (0.5, 1.0, 2.0, 4.0, 8.0)  # seconds between the first tries to fetch a file
LONGEST_PAUSE = 30.0  # seconds between the later ones
FETCH_TIME = 3600.0  # seconds for which a file is asked for; then the person is told
FETCH_TIMEOUT = 120  # seconds for one file


class FileAway(Exception):  # noqa: N818 - a state
    """A file cannot be fetched just now. ``wait``: seconds that the server asked for, or None.

    ``refused``: the server answers, and has no such file.
    """

    def __init__(self, reason: str, *, wait: float | None = None, refused: bool = False) -> None:
        super().__init__(reason)
        self.wait = wait
        self.refused = refused


class FetchTries:
    """How often and since when one job's file is asked for in vain."""

    def __init__(self) -> None:
        self._since = asyncio.get_running_loop().time()
        self._failed = 0

    @property
    def few(self) -> bool:
        """Whether they are the first ones, after which a file that is not there may yet come."""
        return self._failed < len(FETCH_PAUSES)

    def failed(self, away: FileAway) -> Wait:
        """When to ask again. Raises Unanswerable when that is given up."""
        few = self.few
        pause = FETCH_PAUSES[self._failed] if few else LONGEST_PAUSE
        self._failed += 1
        waited = asyncio.get_running_loop().time() - self._since
        if waited > FETCH_TIME or (away.refused and not few):
            raise Unanswerable("cannot_fetch", str(away))
        return Wait(pause if away.wait is None else away.wait, long=not few)


class Fetcher:
    """Fetches files of at most ``max_file_bytes``, and holds ``memory`` bytes at once, at most half of them
    for pictures that wait for a server elsewhere, so that a slow one leaves room for the others.
    """

    def __init__(self, bot: Bot, *, memory: int, max_file_bytes: int) -> None:
        self._bot = bot
        self._half = memory // 2
        self._memory, self._elsewhere = Room(memory), Room(self._half)
        self._limit = max_file_bytes

    @asynccontextmanager
    async def fetched(self, job: Job) -> AsyncIterator[bytes]:
        """The bytes of a job's file, in memory while the block runs. Raises Unanswerable, FileAway.

        No error of the HTTP client leaves this method: their texts hold the token.
        """
        # Asked for anew at every try: the path it gives is valid for an hour only.
        with _fetch_errors(), single_attempt():
            file = await self._bot.get_file(job.file_id)
        if file.file_path is None or (file.file_size or 0) > self._limit:
            raise Unanswerable("too_large", f"{file.file_size} bytes")
        # More than the half that no server elsewhere takes would wait for one.
        size = min(file.file_size or self._limit, self._half)
        slow = self._elsewhere.of(size) if is_elsewhere(job.model) else nullcontext()
        async with slow, self._memory.of(size):
            with _fetch_errors():
                data = await self._read(file.file_path)
            yield data

    async def _read(self, file_path: str) -> bytes:
        session = self._bot.session
        if session.api.is_local:
            path = Path(file_path)
            if (await asyncio.to_thread(path.stat)).st_size > self._limit:
                raise Unanswerable("too_large", "too large on the disk")
            return await asyncio.to_thread(path.read_bytes)
        url = session.api.file_url(self._bot.token, file_path)
        data = io.BytesIO()  # which gives its bytes away without a copy
        async with aclosing(session.stream_content(url, timeout=FETCH_TIMEOUT)) as stream:
            async for chunk in stream:
                data.write(chunk)
                if data.tell() > self._limit:  # file_size may be missing, or wrong
                    raise Unanswerable("too_large", f"more than {self._limit} bytes came")
        return data.getvalue()


@contextmanager
def _fetch_errors() -> Iterator[None]:
    """What goes wrong with a file, in words without the token. Raises Unanswerable, FileAway."""
    try:
        yield
    except TelegramBadRequest as error:
        if "too big" in error.message.lower():
            raise Unanswerable("too_large", "too big for the Bot API server") from None
        raise Unanswerable("cannot_fetch", error.message) from None
    except TelegramRetryAfter as error:
        raise FileAway("rate limit", wait=min(float(error.retry_after), 60.0)) from None
    except (TelegramNotFound, FileNotFoundError) as error:
        raise FileAway(type(error).__name__, refused=True) from None
    except ClientResponseError as error:
        refused = 400 <= error.status < 500 and error.status not in (408, 409, 425, 429)
        raise FileAway(f"{type(error).__name__} {error.status}", refused=refused) from None
    except (AiogramError, ClientError, TimeoutError, OSError) as error:
        raise FileAway(type(error).__name__) from None
