"""A store of many rows, made by the database itself: they do not go through Python."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    ColumnElement,
    MetaData,
    String,
    Text,
    case,
    cast,
    func,
    insert,
    literal,
    null,
    select,
)
from sqlalchemy import Table as SQLTable
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from tqdm import tqdm

from bot.feedback.pseudonyms import Pseudonyms
from bot.feedback.states import JobState
from bot.feedback.tables import (
    CaptionRow,
    Correction,
    Job,
    Picture,
    Rating,
    Sending,
    ShownMessage,
    Table,
    User,
    UTCDateTime,
    now,
)

VERSIONS = (("meme-small", "a" * 64), ("coco-objects", "b" * 64), ("large", "c" * 64), ("large", "d" * 64))
_PORTION = 50_000  # rows of one statement
_TEXT = (
    "Мем из двух кадров. На верхнем кот сидит за клавиатурой и смотрит на экран; над ним написано: «КОГДА "
    "ЖДЁШЬ ПЯТНИЦУ». На нижнем тот же кот спит, подпись: «А ЕЩЁ ТОЛЬКО ВТОРНИК». "
)
_FIRST_PERSON = 1_000_000  # a Telegram id
_NUMBERS = 10**15  # above all numbers, for all to have as many digits
DAYS = 30  # of all that happened, today the last

# What PostgreSQL says of its tables.
_KEYS = """
SELECT conrelid::regclass::text AS owner, conname AS name, pg_get_constraintdef(oid) AS made
FROM pg_constraint
WHERE contype = 'f' AND connamespace = current_schema()::regnamespace
"""
_INDEXES = """
SELECT indexrelid::regclass::text AS name, pg_get_indexdef(indexrelid) AS made FROM pg_index
JOIN pg_class ON pg_class.oid = indexrelid
WHERE relnamespace = current_schema()::regnamespace
AND NOT EXISTS (SELECT 1 FROM pg_constraint WHERE conindid = indexrelid)
"""

_senders = SQLTable(
    "large_senders",
    MetaData(),
    Column("n", BigInteger, primary_key=True, autoincrement=False),
    Column("sender", String(16), nullable=False),
    prefixes=["TEMPORARY"],
)
_days = SQLTable(
    "large_days",
    _senders.metadata,
    Column("n", BigInteger, primary_key=True, autoincrement=False),
    Column("moment", UTCDateTime, nullable=False),
    prefixes=["TEMPORARY"],
)


@dataclass(frozen=True, slots=True)
class Size:
    """How many rows a store is to have. One person in fifty captions; one caption in eleven is a variant."""

    captions: int
    marks: int  # a whole number of times the captions

    @property
    def people(self) -> int:
        """Each sent about as many pictures."""
        return max(50, self.captions // 50)

    @property
    def pictures(self) -> int:
        """Each has a caption, and some have another one."""
        return self.captions - self.captions // 11

    @property
    def each(self) -> int:
        """Marks of one caption."""
        return self.marks // self.captions


@dataclass(frozen=True, slots=True)
class _Fill:
    """So many ``rows``, that of the number n (1, 2, ...) holding ``values(n)``."""

    table: type[Table]
    rows: int
    values: Callable[[ColumnElement[int]], Mapping[str, ColumnElement[Any]]]


def telegram_id(person: int) -> int:
    """Of the person of this number, from 1 on, which is also their :attr:`User.id`."""
    return _FIRST_PERSON + person


async def fill(engine: AsyncEngine, size: Size, pseudonyms: Pseudonyms) -> None:
    """Put the rows into an empty database, a portion in each transaction."""
    async with engine.execution_options(sqlite_begin=None).connect() as connection:
        if engine.dialect.name == "sqlite":  # what a power cut breaks is made again
            for pragma in ("synchronous = OFF", "cache_size = -500000", "foreign_keys = OFF"):
                await connection.exec_driver_sql(f"PRAGMA {pragma}")
        await connection.run_sync(_senders.metadata.create_all, checkfirst=False)
        days = [{"n": n, "moment": now() - timedelta(days=DAYS - 1 - n)} for n in range(DAYS)]
        await connection.execute(insert(_days), days)
        people = range(1, size.people + 1)
        await connection.execute(
            insert(_senders), [{"n": n, "sender": pseudonyms.sender(telegram_id(n))} for n in people]
        )
        async with _bare(connection) if engine.dialect.name == "postgresql" else nullcontext():
            for one in _fills(size):
                await _fill(connection, one)
        await connection.run_sync(_senders.metadata.drop_all, checkfirst=False)
        await connection.commit()


@asynccontextmanager
async def _bare(connection: AsyncConnection) -> AsyncIterator[None]:
    """PostgreSQL's tables without foreign keys and indexes, which it makes faster for all rows at once at the
    end, when it checks them too."""
    await connection.exec_driver_sql("SET synchronous_commit = off")  # as with SQLite
    keys = (await connection.exec_driver_sql(_KEYS)).mappings().all()
    indexes = (await connection.exec_driver_sql(_INDEXES)).mappings().all()
    for key in keys:
        await connection.exec_driver_sql("ALTER TABLE {owner} DROP CONSTRAINT {name}".format(**key))
    for index in indexes:
        await connection.exec_driver_sql("DROP INDEX {name}".format(**index))
    yield
    for index in tqdm(indexes, desc="indexes", unit=""):
        await connection.exec_driver_sql(index["made"])
    for key in tqdm(keys, desc="foreign keys", unit=""):
        await connection.exec_driver_sql("ALTER TABLE {owner} ADD CONSTRAINT {name} {made}".format(**key))


async def _fill(connection: AsyncConnection, to: _Fill) -> None:
    with tqdm(total=to.rows, desc=to.table.__tablename__, unit=" rows") as progress:
        for first in range(1, to.rows + 1, _PORTION):
            last = min(to.rows, first + _PORTION - 1)
            start = select(literal(first, BigInteger).label("n")).cte("series", recursive=True)
            series = start.union_all(select(start.c.n + 1).where(start.c.n < last))
            values = to.values(series.c.n)
            rows = select(*values.values()).select_from(series).order_by(series.c.n)
            await connection.execute(insert(to.table.columns()).from_select(list(values), rows))
            await connection.commit()
            progress.update(last - first + 1)


def _fills(size: Size) -> Iterator[_Fill]:
    first = literal(now() - timedelta(days=DAYS - 1), UTCDateTime)

    def moment(number: ColumnElement[int], of: int) -> ColumnElement[datetime]:
        """Of the row of this number of so many: one day after the other has as many."""
        day = (number - 1) * DAYS // of
        return select(_days.c.moment).where(_days.c.n == day).scalar_subquery()

    def consents(person: ColumnElement[int]) -> ColumnElement[bool]:
        return person % 3 == 0

    def person(picture: ColumnElement[int]) -> ColumnElement[int]:
        """Who sent it: people come by turns, so that the rows of each lie all over the tables."""
        return (picture - 1) % size.people + 1

    def picture(caption: ColumnElement[int]) -> ColumnElement[int]:
        return (caption - 1) % size.pictures + 1

    def sender(number: ColumnElement[int]) -> ColumnElement[str]:
        return select(_senders.c.sender).where(_senders.c.n == number).scalar_subquery()

    def file(number: ColumnElement[int]) -> ColumnElement[str]:
        return literal("AQAD", Text).concat(_digits(number * 7919 % 1_000_000_007))  # in no order

    def version(caption: ColumnElement[int], part: int) -> ColumnElement[str]:
        *others, last = enumerate(VERSIONS)
        said = ((caption % len(VERSIONS) == at, one[part]) for at, one in others)
        return case(*said, else_=last[1][part])

    yield _Fill(
        User,
        size.people,
        lambda n: {
            "telegram_id": n + _FIRST_PERSON,
            "language": literal("ru"),
            "language_chosen": literal(False),
            "consent": consents(n),
            "active": n % 10 != 0,
            "created_at": first,
        },
    )
    yield _Fill(
        Picture,
        size.pictures,
        lambda n: {
            "file_unique_id": file(n),
            "sha256": _sha256(n),
            "size": literal(80_000),
            "width": literal(1080),
            "height": literal(1080),
            "path": case((consents(person(n)), _path(n)), else_=null()),  # there are no files
            "kept_at": case((consents(person(n)), moment(n, size.pictures)), else_=null()),
            "created_at": moment(n, size.pictures),
        },
    )

    def sending(turn: int, n: ColumnElement[int]) -> dict[str, ColumnElement[Any]]:
        return {
            "picture_id": n,
            "sender": sender(person(n + turn)),
            "keeps": consents(person(n)) if turn == 0 else literal(False),
        }

    for turn, rows in enumerate((size.pictures, size.pictures // 20)):  # some were sent by two people
        yield _Fill(
            Sending,
            rows,
            partial(sending, turn),
        )
    yield _Fill(
        CaptionRow,
        size.captions,
        lambda n: {
            "picture_id": picture(n),
            "model": version(n, 0),
            "checkpoint": version(n, 1),
            "program": literal("e" * 16),
            "options": literal({"beams": 4, "max_tokens": 160}, JSON),
            "options_key": literal("default"),
            "summary": literal("Мем: кот и пятница. ", Text).concat(_digits(n)),
            "text": literal(_TEXT, Text).concat(_digits(n)),
            "words": literal(["КОГДА ЖДЁШЬ ПЯТНИЦУ", "А ЕЩЁ ТОЛЬКО ВТОРНИК"], JSON),
            "seconds": literal({"read": 0.21, "encode": 0.1, "generate": 0.34, "total": 0.65}, JSON),
            "confidence": literal(0.75),
            "notes": literal([], JSON),
            "created_at": moment(n, size.captions),
        },
    )
    yield _Fill(
        Job,
        size.captions,
        lambda n: {
            "user_id": person(picture(n)),
            "chat_id": person(picture(n)) + _FIRST_PERSON,
            "message_id": n,
            "kind": case((n > size.pictures, "variant"), else_="caption"),
            "file_id": literal("AgACAgIAAxkBAAIB" * 5, Text).concat(_digits(n)),
            "file_unique_id": file(picture(n)),
            "options_key": literal("default"),
            "model": version(n, 0),
            "part": literal(0),
            "source_caption_id": case((n > size.pictures, n - size.pictures), else_=null()),
            "language": literal("ru"),
            "state": literal(JobState.ANSWERED.value, Text),
            "attempts": literal(1),
            "caption_id": n,
            "sender": sender(person(picture(n))),
            "keeps_picture": consents(person(picture(n))),
            "lost_answers": case((n % 1000 == 0, 1), else_=0),
            "reply_message_id": n + size.captions,
            "created_at": moment(n, size.captions),
            "updated_at": moment(n, size.captions),
        },
    )
    yield _Fill(
        ShownMessage,
        size.captions,
        lambda n: {
            "chat_id": person(picture(n)) + _FIRST_PERSON,
            "message_id": n + size.captions,
            "kind": literal("caption"),
            "caption_id": n,
            "job_id": n,
            "user_id": person(picture(n)),
            "unsigned": literal(False),
            "created_at": moment(n, size.captions),
        },
    )
    yield _Fill(
        Rating,
        size.captions * size.each,
        lambda n: {
            "user_id": person((n - 1) // size.each + 1 + (n - 1) % size.each * 7),  # the sender and others
            "caption_id": (n - 1) // size.each + 1,
            "mark": n % 5 + 1,
            "created_at": moment(n, size.captions * size.each),
            "updated_at": moment(n, size.captions * size.each),
        },
    )
    yield _Fill(
        Correction,
        size.captions // 50,
        lambda n: {
            "user_id": person(picture(n * 50)),
            "caption_id": n * 50,
            "text": literal(_TEXT, Text).concat(_digits(n)),
            "created_at": moment(n, size.captions // 50),
        },
    )


def _sha256(picture: ColumnElement[int]) -> ColumnElement[str]:
    return literal("f" * 49, Text).concat(_digits(picture))


def _path(picture: ColumnElement[int]) -> ColumnElement[str]:
    """As bot.feedback.files has it."""
    return literal("pictures/ff/", Text).concat(_sha256(picture)).concat(literal(".jpg", Text))


def _digits(number: ColumnElement[int]) -> ColumnElement[str]:
    """Fifteen of them."""
    return func.substr(cast(number + _NUMBERS, Text), 2, type_=Text)
