"""Who was erased and which kept pictures had to go: what an earlier export must be cleaned of.

Written down as ``erased.jsonl``: its first row says when it was made, every other one names a user or a
picture by pseudonym and says since when.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, datetime
from typing import cast

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from bot.feedback.sessions import Sessions
from bot.feedback.tables import Tombstone, TombstoneKind, iso, now


class Tombstones:
    """Everybody and every kept picture erased so far, by pseudonym."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    async def bury(
        self,
        session: AsyncSession,
        kind: TombstoneKind,
        pseudonyms: Collection[str],
        erased_at: datetime | None = None,
    ) -> None:
        """Say in every later export that what stands under these pseudonyms in an earlier one must go.

        ``erased_at`` None: just now.
        """
        insert = self._sessions.insert(Tombstone)
        upsert = insert.on_conflict_do_update(
            index_elements=[Tombstone.kind, Tombstone.pseudonym],
            set_={"erased_at": insert.excluded.erased_at},
        )
        moment = erased_at or now()
        if rows := [{"kind": kind, "pseudonym": one, "erased_at": moment} for one in pseudonyms]:
            await session.execute(upsert, rows)

    async def all(self) -> Sequence[Tombstone]:
        """All of them, the oldest first."""
        async with self._sessions.reading() as session:
            order = (Tombstone.erased_at, Tombstone.kind, Tombstone.pseudonym)
            return (await session.scalars(select(Tombstone).order_by(*order))).all()


def write_tombstones(made_at: datetime, tombstones: Iterable[Tombstone]) -> str:
    """The text of an erased.jsonl."""
    rows = [{one.kind: one.pseudonym, "erased_at": iso(one.erased_at)} for one in tombstones]
    return "".join(json.dumps(row) + "\n" for row in [{"made_at": iso(made_at)}, *rows])


def parse_tombstones(text: str) -> list[Tombstone]:
    """What an erased.jsonl says. Raises ValueError, KeyError or TypeError where it is damaged."""
    _, *rows = (json.loads(line) for line in text.splitlines())
    return [
        Tombstone(kind=kind, pseudonym=str(row[kind]), erased_at=datetime.fromisoformat(row["erased_at"]))
        for row in rows
        for kind in ("user" if "user" in row else "picture",)
    ]


def read_tombstones(database: sqlite3.Connection) -> list[Tombstone]:
    """Those of an SQLite file of any version."""
    if not database.execute("SELECT 1 FROM sqlite_master WHERE name = 'tombstones'").fetchone():
        return []
    rows = database.execute("SELECT kind, pseudonym, erased_at FROM tombstones ORDER BY erased_at").fetchall()
    return [
        Tombstone(
            kind=cast("TombstoneKind", kind),
            pseudonym=pseudonym,
            erased_at=datetime.fromisoformat(erased_at).replace(tzinfo=UTC),
        )
        for kind, pseudonym, erased_at in rows
    ]
