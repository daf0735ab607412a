"""What a store owes that was restored: to people who were erased since, and to those who may be answered."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sqlalchemy import select

from bot.feedback.backup.archive import BackupError
from bot.feedback.store import Store
from bot.feedback.tables import Tombstone, User, iso
from bot.feedback.tombstones import parse_tombstones


@dataclass(frozen=True, slots=True)
class Settled:
    """What was done to it."""

    open_jobs: int  # of which nobody knows whether they were answered since
    people: int  # erased again
    pictures: int  # let go again

    def __str__(self) -> str:
        text = f"{self.open_jobs} pictures were not answered yet: a note with a button comes for each."
        if self.people or self.pictures:
            text += (
                f" Erased since the backup, and again now: {self.people} people, {self.pictures} pictures."
            )
        return text


async def settle(
    store: Store,
    *,
    asked_until: datetime,
    erased: Sequence[Tombstone] = (),
    refusing: Collection[int] = (),
) -> Settled:
    """Make a restored store fit to be used, before a bot starts with it.

    ``asked_until``: what was asked until then may have been answered. ``erased``: who was, and what, as far
    as anybody knows. ``refusing``: Telegram ids of those who have since not let their pictures be kept.
    """
    known = {(one.kind, one.pseudonym): iso(one.erased_at) for one in await store.tombstones.all()}
    # To the second, as files tell it. A picture may have been kept again after it was let go.
    since = [one for one in erased if iso(one.erased_at) > known.get((one.kind, one.pseudonym), "")]
    people = await _erase(store, {one.pseudonym for one in since if one.kind == "user"})
    for telegram_id in refusing:
        user = await store.people.find(telegram_id)
        if user is not None and user.consent:
            await store.people.set_consent(user.id, False)
    pictures = await store.pictures.let_go({one.pseudonym for one in since if one.kind == "picture"})
    async with store.sessions.transaction() as session:
        for one in since:
            await store.tombstones.bury(session, one.kind, [one.pseudonym], one.erased_at)
    return Settled(await store.restores.begin(asked_until), people, pictures)


async def _erase(store: Store, pseudonyms: Collection[str]) -> int:
    async with store.sessions.reading() as session:
        numbers = (await session.scalars(select(User.id))).all() if pseudonyms else ()
    gone = [number for number in numbers if store.pseudonyms.user(number) in pseudonyms]
    for number in gone:
        await store.erasure.erase(number)
    return len(gone)


def read_erased(path: Path | None) -> list[Tombstone]:
    """What the erased.jsonl of an export says. Raises BackupError."""
    if path is None:
        return []
    try:
        return parse_tombstones(path.read_text("utf-8"))
    except FileNotFoundError as error:
        raise BackupError(f"{path} is not there: give the erased.jsonl of an export.") from error
    except OSError as error:
        reason = error.strerror
        raise BackupError(f"{path} cannot be read ({reason}): give the erased.jsonl of an export.") from error
    except (ValueError, KeyError, TypeError) as error:
        raise BackupError(f"{path} is no whole erased.jsonl: take it from the export anew.") from error
