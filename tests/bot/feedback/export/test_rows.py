"""Which rows an export has, and what they tell of people."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import update

from bot.feedback import database
from bot.feedback.export import export, parse_since
from bot.feedback.store import Store
from bot.feedback.tables import Correction, Rating
from tests.bot.feedback.conftest import Chat, meme
from tests.bot.feedback.export.conftest import rows


async def test_min_rating_keeps_rows_with_only_a_correction(told: Chat, store: Store, tmp_path: Path) -> None:
    report = await export(store, tmp_path / "out", min_rating=3)
    assert report.rows == 3
    assert [row["rating"] for row in rows(tmp_path / "out")] == [5, None, 3]


async def test_since_looks_at_the_mark_and_at_the_correction(
    told: Chat, store: Store, url: str, tmp_path: Path
) -> None:
    """All feedback is made a year old, then one mark and one correction new again."""
    old = datetime.now(UTC) - timedelta(days=365)
    engine = database.create_engine(database.database_url(url))
    async with engine.begin() as connection:
        await connection.execute(update(Rating).values(updated_at=old))
        await connection.execute(update(Correction).values(created_at=old))
        await connection.execute(update(Rating).where(Rating.mark == 5).values(updated_at=datetime.now(UTC)))
        await connection.execute(
            update(Correction)
            .where(Correction.text.like("%без картинки%"))
            .values(created_at=datetime.now(UTC))
        )
    await engine.dispose()
    since = parse_since(str((datetime.now(UTC) - timedelta(days=2)).date()))
    report = await export(store, tmp_path / "out", since=since)
    assert [row["rating"] for row in rows(tmp_path / "out")] == [5, 3]
    assert report.rows == 2
    later = parse_since((datetime.now(UTC) + timedelta(hours=5)).isoformat())
    assert (await export(store, tmp_path / "out", since=later)).rows == 0


async def test_the_pseudonym_is_stable_and_tells_nothing(
    told: Chat, store: Store, url: str, data_dir: Path, tmp_path: Path
) -> None:
    await export(store, tmp_path / "a")
    async with await Store.open(url, data_dir) as restarted:
        await export(restarted, tmp_path / "b")
    users = [[row["user"] for row in rows(tmp_path / name)] for name in "ab"]
    assert users[0] == users[1]
    guessed = {hashlib.sha256(str(number).encode()).hexdigest()[:16] for number in range(1000)}
    assert guessed.isdisjoint(users[0])
    async with await Store.open(f"sqlite:///{tmp_path}/other.db", tmp_path / "other") as other:
        chat = Chat(other)
        user = await chat.person(1)
        await other.marks.rate(user.id, (await chat.answer(user, meme())).id, 5)
        await export(other, tmp_path / "c")
    assert rows(tmp_path / "c")[0]["user"] not in users[0], "another bot's people cannot be matched"


async def test_many_rows_stream_through(chat: Chat, store: Store, tmp_path: Path) -> None:
    """More than one batch, one picture: a file for the picture, a row for everybody."""
    anna = await chat.person(1)
    row = await chat.answer(anna, meme())
    for number in range(2, 213):
        user = await store.people.meet(number, language="ru")
        await store.marks.rate(user.id, row.id, 1 + number % 5)
    report = await export(store, tmp_path / "out")
    assert (report.rows, report.pictures) == (211, 1)
    assert len({row["user"] for row in rows(tmp_path / "out")}) == 211
