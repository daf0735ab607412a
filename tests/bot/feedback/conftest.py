"""A fresh database for every test, and short ways to fill it."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from bot.feedback import prepared
from bot.feedback.pictures import PictureFields
from bot.feedback.store import Store
from bot.feedback.tables import CaptionRow, Job, Place, User
from inference.common.types import Caption, DecodingOptions
from tests.bot.conftest import address_of_database
from tests.drawing import draw_meme, jpeg_bytes

MODEL = "meme-small"
CHECKPOINT = "c" * 64
PROGRAM = "b" * 16


@pytest.fixture
async def url(tmp_path: Path) -> str:
    return await address_of_database(tmp_path / "base" / "bot.db")


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
async def store(url: str, data_dir: Path) -> AsyncIterator[Store]:
    async with await Store.open(url, data_dir) as opened:
        yield opened


@contextmanager
def listening(store: Store, hear: Callable[[str, Any], None]) -> Iterator[None]:
    """``hear`` gets each statement that this store asks, and its parameters, before it is run."""
    engine = store.sessions._engine.sync_engine
    given = prepared._Statement.parameters

    def before(_: object, __: object, statement: str, parameters: Any, *rest: object) -> None:
        hear(statement, parameters[0] if rest[-1] else parameters)

    def parameters(statement: prepared._Statement, values: Mapping[str, Any]) -> list[Any]:
        found = given(statement, values)
        hear(statement.sql, tuple(found))
        return found

    event.listen(engine, "before_cursor_execute", before)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(prepared._Statement, "parameters", parameters)
        yield
    event.remove(engine, "before_cursor_execute", before)


@dataclass
class Chat:
    """Goes through the steps of the bot, for any number of people."""

    store: Store
    numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    async def person(self, telegram_id: int, *, consent: bool = True) -> User:
        user = await self.store.people.meet(telegram_id, language="ru")
        await self.store.people.set_consent(user.id, consent)
        return user

    async def job(self, user: User, file_unique_id: str, options: DecodingOptions | None = None) -> Job:
        ((job, created),) = await self.store.jobs.accept(
            user_id=user.id,
            place=Place(user.telegram_id),
            message_id=next(self.numbers),
            file_id=f"download-{file_unique_id}",
            file_unique_id=file_unique_id,
            language="ru",
            options=options,
        )
        assert created
        return job

    async def answer(self, user: User, data: bytes, *, words: tuple[str, ...] = ()) -> CaptionRow:
        """From the picture's arrival to the reply."""
        picture = fields(data)
        job = await self.job(user, picture.file_unique_id)
        await self.store.jobs.claim(job.id)
        row = await self.store.captions.save(job.id, picture=picture, caption=said(words=words))
        await self.store.jobs.mark_reply_sending(job.id)
        await self.store.jobs.answered(job.id, next(self.numbers))
        return row


@pytest.fixture
def chat(store: Store) -> Chat:
    return Chat(store)


def meme(words: str = "КОТ СПИТ") -> bytes:
    return jpeg_bytes(draw_meme("caption_bar", words, width=160))


def fields(data: bytes) -> PictureFields:
    digest = hashlib.sha256(data).hexdigest()
    return PictureFields(f"unique-{digest[:16]}", digest, len(data), 160, 140, data)


def said(text: str = "На картинке кот спит.", *, words: tuple[str, ...] = (), model: str = MODEL) -> Caption:
    return Caption(
        summary="Мем: кот.",
        text=text,
        words=words,
        model=model,
        checkpoint=CHECKPOINT,
        program=PROGRAM,
        options=DecodingOptions(beams=4),
        seconds={"decode": 0.01, "read": 0.2, "encode": 0.1, "generate": 0.3, "total": 0.61},
        confidence=0.75,
        notes=("first_frame",),
    )


def kept(data_dir: Path) -> list[Path]:
    """The kept pictures, whatever their folders."""
    return sorted(path for path in (data_dir / "pictures").rglob("*") if path.is_file())
