"""The tables come from the migrations alone, and are those that the code means."""

from __future__ import annotations

import asyncio
import io
import sqlite3
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.script import ScriptDirectory
from sqlalchemy import Column, Connection, MetaData, create_engine, event, insert, text

from bot.feedback import database, upgrade
from bot.feedback.database import StoreError
from bot.feedback.messages import MessageKey
from bot.feedback.migrations import versions
from bot.feedback.migrations.__main__ import layout
from bot.feedback.store import Store
from bot.feedback.tables import Choice, Place, Shown, Table
from inference.common.types import DecodingOptions
from tests.bot.feedback.conftest import Chat, fields, kept, meme, said
from tests.reliability.large import Size, fill


async def test_migrations_give_the_tables_of_the_code(url: str, store: Store) -> None:
    def differences(connection: Connection) -> list[object]:
        context = MigrationContext.configure(connection, opts={"compare_server_default": True})
        found: list[object] = compare_metadata(context, Table.metadata)
        return found

    engine = database.create_engine(database.database_url(url))
    async with engine.connect() as connection:
        assert await connection.run_sync(differences) == []
    await engine.dispose()


def test_a_new_database_of_sqlite_is_laid_out_as_all_migrations_would_make_it(tmp_path: Path) -> None:
    """Where it is not: ``python -m bot.feedback.migrations`` writes the layout anew."""
    url = f"sqlite:///{tmp_path}/bot.db"
    asyncio.run(upgrade.migrate(database.database_url(url)))
    laid_out, migrated = create_engine(url), create_engine("sqlite://")
    with laid_out.begin() as one, migrated.begin() as other:
        run_migrations(other, "head", up=True)
        assert layout(one) == layout(other) == upgrade.LAYOUT.read_text(encoding="utf-8")
        assert revision(one) == revision(other)
    laid_out.dispose()
    migrated.dispose()


def revision(connection: Connection) -> str | None:
    """What Alembic takes the database for."""
    return MigrationContext.configure(connection).get_current_revision()


async def test_migrations_can_be_taken_back(url: str, store: Store) -> None:
    def downgrade(connection: Connection) -> set[str]:
        run_migrations(connection, "base", up=False)
        return set(connection.dialect.get_table_names(connection))

    engine = database.create_engine(database.database_url(url))
    async with engine.begin() as connection:
        left = await connection.run_sync(downgrade)
    await engine.dispose()
    assert left - {"sqlite_sequence"} == {"alembic_version"}


def run_migrations(connection: Connection, revision: str, *, up: bool) -> None:
    """Bring the tables to an older or a newer state."""
    from alembic import command

    configuration = upgrade.alembic_config()
    configuration.attributes["connection"] = connection
    (command.upgrade if up else command.downgrade)(configuration, revision)


async def migrate_to(url: str, revision: str, *, up: bool) -> None:
    """The same for a database that is opened for it."""
    engine = database.create_engine(database.database_url(url))
    async with engine.begin() as connection:
        await connection.run_sync(lambda connection: run_migrations(connection, revision, up=up))
    await engine.dispose()


REVISIONS = sorted(path.stem[1:5] for path in Path(versions.__path__[0]).glob("v*.py"))


def add_feedback(connection: Connection, number: int) -> None:
    """What a bot of this schema writes of one person: a picture, its description, a mark, a correction."""
    metadata = MetaData()
    metadata.reflect(connection)
    known: dict[str, Any] = {
        "telegram_id": 1000 + number,
        "chat_id": 1000 + number,
        "language": "ru",
        "kind": "caption",
        "state": "answered",
        "mark": number % 5 + 1,
        "checkpoint": "c" * 64,
        "words": [f"слово {number}"],
        "notes": [],
        "options": DecodingOptions().to_dict(),
    }
    for name in ("users", "pictures", "captions", "ratings", "corrections", "jobs"):
        table = metadata.tables[name]
        values = {column.name: known[column.name] for column in table.columns if column.name in known}
        for column in table.columns:
            needed = column.name != "id" and not column.nullable and column.server_default is None
            if needed and column.name not in values:
                values[column.name] = _anything(column, number)
        added = connection.execute(insert(table).values(values)).inserted_primary_key
        if name in ("users", "pictures", "captions"):
            assert added is not None
            known[f"{name.removesuffix('s')}_id"] = added[0]


def _anything(column: Column[Any], number: int) -> object:
    kinds: dict[type, object] = {
        object: {},  # JSON
        bool: False,
        int: number,
        float: 0.5,
        datetime: datetime.now(UTC),
        str: f"{column.name} {number}",
    }
    return kinds[column.type.python_type]


async def test_what_bots_of_all_schemas_wrote_is_there_after_the_upgrade_and_a_step_back(
    url: str, data_dir: Path, tmp_path: Path
) -> None:
    """One person a schema, in one database that goes through all of them; then to the first and back."""
    engine = database.create_engine(database.database_url(url))
    await asyncio.to_thread(Path(url.partition(":///")[2]).parent.mkdir, exist_ok=True, parents=True)
    for number, revision in enumerate(REVISIONS):
        await migrate_to(url, revision, up=True)
        async with engine.begin() as connection:
            await connection.run_sync(add_feedback, number)
    await engine.dispose()
    for _ in range(2):
        async with await Store.open(url, data_dir) as store:
            said = [(one.mark, one.correction, one.caption.words) async for one in store.reports.feedback()]
            assert said == [
                (number % 5 + 1, f"text {number}", [f"слово {number}"]) for number in range(len(REVISIONS))
            ]
            stats = await store.reports.stats()
            assert (stats.users, stats.pictures) == (len(REVISIONS), len(REVISIONS))
            assert stats.jobs == {"answered": len(REVISIONS)}
            assert sum(model.ratings for model in stats.models) == len(REVISIONS)
            assert sum(model.corrections for model in stats.models) == len(REVISIONS)
            course = await store.overview.course(2)  # it may be past midnight
            assert sum(day.answered for day in course) == len(REVISIONS)
            marks = [day.mean_mark * day.marks for day in course if day.mean_mark is not None]
            assert sum(marks) == sum(number % 5 + 1 for number in range(len(REVISIONS)))
        await migrate_to(url, REVISIONS[0], up=False)
    async with await Store.open(url, data_dir) as store:
        for number in range(len(REVISIONS)):
            user = await store.people.find(1000 + number)
            assert user is not None
            assert (await store.erasure.erase(user.id)).ratings == 1
        assert [one async for one in store.reports.feedback()] == []


async def test_a_pair_that_was_compared_is_kept_and_of_three_the_first_two(url: str, data_dir: Path) -> None:
    async with await Store.open(url, data_dir) as store:
        chosen = {10: ("one",), 11: (), 12: None, 13: ("my model", "two")}
        for number, names in chosen.items():
            user = await store.people.meet(number, language="ru")
            await store.people.compare_with(user.id, names)
        triple = Choice("x", 2, ("my model", "two"))
        ((job, _),) = await store.jobs.accept(
            user_id=user.id,
            place=Place(10),
            message_id=1,
            file_id="f",
            file_unique_id="u",
            language="ru",
            choices=[triple],
        )
    await migrate_to(url, "0008", up=False)
    async with await Store.open(url, data_dir) as store:
        people = {number: await store.people.find(number) for number in chosen}
        found = {number: user and user.compare_with for number, user in people.items()}
        assert found == chosen | {13: ("my model",)}
        kept = await store.jobs.get(job.id)
        assert kept is not None and kept.compared_with == ("my model",)


async def test_what_was_sent_before_there_were_signatures_is_known_by_its_message(
    url: str, data_dir: Path
) -> None:
    async with await Store.open(url, data_dir) as store:
        chat = Chat(store)
        anna, boris = await chat.person(10), await chat.person(11)
        described = await chat.answer(anna, meme("ОДИН"))
        job = await store.jobs.of_caption(described.id, 10, 0)
        assert job is not None and job.reply_message_id is not None
        ((in_group, _),) = await store.jobs.accept(
            user_id=boris.id,
            place=Place(-7),
            message_id=1,
            file_id="f",
            file_unique_id="u",
            language="ru",
        )
        await store.captions.use(in_group.id, described.id)
        await store.jobs.answered(in_group.id, 2)
        waiting = await chat.job(anna, "unanswered")
        await store.messages.show(
            MessageKey.of(-7, 3), Shown("prompt", caption_id=described.id, user_id=boris.id)
        )
        await store.messages.show(MessageKey.of(10, 4), Shown("models", user_id=anna.id))
    await migrate_to(url, "0006", up=False)
    async with await Store.open(url, data_dir) as store:
        for chat_id, message_id, kind, job_id, user_id, unsigned in (
            (10, job.reply_message_id, "caption", job.id, anna.id, True),
            (-7, 2, "caption", in_group.id, None, True),
            (-7, 3, "prompt", None, boris.id, False),
        ):
            row = await store.messages.find(MessageKey.of(chat_id, message_id))
            assert row is not None
            assert (row.kind, row.caption_id, row.job_id, row.user_id, row.unsigned) == (
                *(kind, described.id, job_id, user_id, unsigned),
            )
        assert await store.messages.find(MessageKey.of(10, 4)) is None, "pages were not written down then"
        assert await store.messages.find(MessageKey.of(10, waiting.message_id)) is None


async def test_what_was_kept_before_senders_were_known_is_kept_only_where_nobody_else_may_have_sent_it(
    url: str, data_dir: Path
) -> None:
    """Also: what accounts of Telegram's own asked for is parted among the chats, and nobody's marks go."""
    async with await Store.open(url, data_dir) as store:
        chat = Chat(store)
        anna, boris = await chat.person(10), await chat.person(11)
        own = await chat.answer(anna, meme("СВОЯ"))
        both = await chat.answer(anna, meme("ОБА"))
        account = await store.people.meet(1087968824, language="ru")

        async def in_group(user_id: int, chat_id: int, data: bytes) -> tuple[int, int]:
            picture = fields(data)
            ((job, _),) = await store.jobs.accept(
                user_id=user_id,
                place=Place(chat_id),
                message_id=next(chat.numbers),
                file_id="f",
                file_unique_id=picture.file_unique_id,
                language="ru",
                sender=10,  # as if the asker had sent it
            )
            return job.id, (await store.captions.save(job.id, picture=picture, caption=said())).id

        _, asked = await in_group(boris.id, -7, meme("ЧУЖАЯ"))
        await in_group(boris.id, -7, meme("ОБА"))
        jobs = {chat_id: await in_group(account.id, chat_id, meme(str(chat_id))) for chat_id in (-7, -8)}
        await store.marks.rate(boris.id, jobs[-8][1], 5)
        assert len(kept(data_dir)) == 5
    await migrate_to(url, "0007", up=False)
    engine = database.create_engine(database.database_url(url))
    async with engine.begin() as connection:
        await connection.execute(
            text("UPDATE users SET consent = true, model = 'x' WHERE telegram_id > 1000000000")
        )
        await connection.execute(text("UPDATE jobs SET keeps_picture = true WHERE caption_id IS NOT NULL"))
    await engine.dispose()

    async with await Store.open(url, data_dir) as store:
        assert sorted(path.read_bytes() for path in kept(data_dir)) == sorted([meme("СВОЯ"), meme("ОБА")])
        assert {stone.kind for stone in await store.tombstones.all()} == {"picture"}
        for chat_id, (job_id, _) in jobs.items():
            owner, job = await store.people.find(chat_id), await store.jobs.get(job_id)
            assert owner is not None and job is not None
            assert (job.user_id, job.sender, job.keeps_picture) == (owner.id, "", False)
            assert (owner.consent, owner.model) == (False, None)
        account = await store.people.meet(1087968824, language="ru")
        assert (account.consent, account.model) == (False, None)
        assert (await store.reports.stats()).users == 2
        await store.erasure.erase(account.id)
        assert await store.marks.rating(boris.id, jobs[-8][1]) == 5
        # As before, who asked is taken for the sender where nobody can tell.
        await store.erasure.erase(boris.id)
        assert await store.captions.get(asked) is None
        assert await store.captions.get(both.id) is not None and await store.captions.get(own.id) is not None


async def test_jobs_keep_their_numbers_and_what_shows_them_where_questions_come_and_go(
    url: str, data_dir: Path
) -> None:
    async with await Store.open(url, data_dir) as store:
        chat = Chat(store)
        anna, gone = await chat.person(10), await chat.person(11)
        row = await chat.answer(anna, meme())
        job = await store.jobs.of_caption(row.id, 10, 0)
        assert job is not None
        place = MessageKey.of(10, 500)
        await store.messages.show(place, Shown("caption", caption_id=row.id, job_id=job.id))
        last = await chat.job(gone, "u")
        await store.erasure.erase(gone.id)
    await migrate_to(url, "0017", up=False)
    await migrate_to(url, "head", up=True)
    async with await Store.open(url, data_dir) as store:
        shown = await store.messages.find(place)
        assert shown is not None and shown.job_id == job.id
        assert (await Chat(store).job(anna, "v")).id > last.id


async def steps_of_all_migrations(data_dir: Path, captions: int) -> int:
    """Thousands of instructions that SQLite runs to take a store of so many captions back and up again."""
    url = f"sqlite:///{data_dir}.db"
    async with await Store.open(url, data_dir) as store:
        engine = database.create_engine(database.database_url(url))
        await fill(engine, Size(captions, 3 * captions), store.pseudonyms)
        await engine.dispose()
    steps = 0

    def count() -> None:
        nonlocal steps
        steps += 1

    def listen(connection: sqlite3.Connection, _: object) -> None:
        connection.execute("PRAGMA foreign_keys = ON")
        connection.set_progress_handler(count, 1000)

    blocking = create_engine(url)
    event.listen(blocking, "connect", listen)
    with blocking.begin() as connection:
        run_migrations(connection, REVISIONS[0], up=False)
        run_migrations(connection, REVISIONS[-1], up=True)
    blocking.dispose()
    return steps


async def test_migrations_work_as_much_more_as_there_are_more_rows_and_not_more_than_that(
    tmp_path: Path,
) -> None:
    """A step that looks through one table for each row of another would take days on a million rows."""
    few = await steps_of_all_migrations(tmp_path / "few", 500)
    many = await steps_of_all_migrations(tmp_path / "many", 2000)
    assert many < 6 * few  # four times; a square would be sixteen times


def test_migrations_are_valid_for_postgresql() -> None:
    """Rendered offline: what PostgreSQL would be told, wherever this test runs."""
    script = ScriptDirectory.from_config(upgrade.alembic_config())
    sql = io.StringIO()
    context = MigrationContext.configure(
        dialect_name="postgresql", opts={"as_sql": True, "output_buffer": sql}
    )
    with Operations.context(context):
        for revision in reversed(list(script.walk_revisions())):
            revision.module.upgrade()
    told = sql.getvalue()
    for table in Table.metadata.tables:
        assert f"CREATE TABLE {table} " in told
    assert "id BIGSERIAL NOT NULL" in told
    assert "TIMESTAMP WITH TIME ZONE" in told
    assert "AUTOINCREMENT" not in told


async def test_opening_again_keeps_everything(url: str, data_dir: Path) -> None:
    async with await Store.open(url, data_dir) as store:
        first = await store.people.meet(1, language="ru")
    async with await Store.open(url, data_dir) as store:
        again = await store.people.meet(1, language="ru")
        assert again.id == first.id
        assert (await store.reports.stats()).users == 1


async def test_many_may_start_on_an_empty_database_at_once(url: str, data_dir: Path) -> None:
    stores = await asyncio.gather(*(Store.open(url, data_dir) for _ in range(4)))
    users = await asyncio.gather(*(store.people.meet(1, language="ru") for store in stores))
    assert len({user.id for user in users}) == 1
    await asyncio.gather(*(store.close() for store in stores))


async def test_the_event_loop_serves_during_the_migrations(
    url: str, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The migration waits for the loop to do something: on the loop itself it would wait in vain."""
    begun, served = threading.Event(), threading.Event()
    steps = upgrade._upgrade

    def waiting_upgrade(connection: Connection) -> None:
        begun.set()
        assert served.wait(30), "the event loop stood still during the migration"
        steps(connection)

    monkeypatch.setattr(upgrade, "_upgrade", waiting_upgrade)

    async def serve() -> None:
        await asyncio.to_thread(begun.wait, 30)
        served.set()

    async with asyncio.TaskGroup() as group:
        group.create_task(serve())
        opening = group.create_task(Store.open(url, data_dir))
    await opening.result().close()


async def test_a_database_of_a_newer_version_is_refused(url: str, data_dir: Path) -> None:
    await (await Store.open(url, data_dir)).close()
    engine = database.create_engine(database.database_url(url))
    async with engine.begin() as connection:
        await connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    await engine.dispose()
    with pytest.raises(StoreError, match=r"newer version.*update the bot"):
        await Store.open(url, data_dir)


@pytest.mark.parametrize(
    ("address", "advice"),
    [
        ("nonsense", "not a database address"),
        ("mysql://host/name", "not supported"),
        ("sqlite://", "name a file"),
        ("sqlite+aiosqlite:///:memory:", "name a file"),
    ],
)
async def test_addresses_that_cannot_be_used_say_what_to_write(
    address: str, advice: str, tmp_path: Path
) -> None:
    with pytest.raises(StoreError, match=advice):
        await Store.open(address, tmp_path)


def test_short_addresses_get_the_drivers() -> None:
    assert database.database_url("postgres://u:p@h/n").drivername == "postgresql+asyncpg"
    assert database.database_url("sqlite:///data/bot.db").drivername == "sqlite+aiosqlite"


async def test_an_unreachable_server_is_one_sentence_without_the_password(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    with pytest.raises(StoreError, match=r"cannot be opened.*check DATABASE_URL"):
        await Store.open(f"sqlite:///{blocked}/bot.db", tmp_path / "data")
    with pytest.raises(StoreError, match="cannot be opened") as caught:
        await Store.open("postgresql://bot:hidden@127.0.0.1:9/base", tmp_path / "data")
    assert "hidden" not in str(caught.value)


async def test_a_file_that_cannot_be_opened_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    complaints: list[threading.ExceptHookArgs] = []
    monkeypatch.setattr(threading, "excepthook", complaints.append)
    before = set(threading.enumerate())
    with pytest.raises(StoreError, match=r"cannot be opened \(unable to open database file\)"):
        await Store.open(f"sqlite:///{tmp_path}", tmp_path / "data")  # a folder
    for thread in set(threading.enumerate()) - before:
        if thread.name.startswith("Thread-"):  # of the driver, not of the event loop
            await asyncio.to_thread(thread.join, 60)
    assert not complaints
