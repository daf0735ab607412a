"""Updates that came by webhook. Telegram posts one again when our answer to it is lost."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import delete, update

from bot.feedback.clock import ago
from bot.feedback.sessions import Sessions
from bot.feedback.tables import PostedUpdate


class Updates:
    """Each is written down before it is worked on; when that is done, only its number stays for a while."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    async def take(self, update_id: int, body: dict[str, Any], telegram_id: int | None) -> bool:
        """Write an update of this person down; False: it came before."""
        insert = self._sessions.insert(PostedUpdate).values(
            update_id=update_id, body=body, telegram_id=telegram_id, held_at=ago()
        )
        statement = insert.on_conflict_do_nothing(index_elements=[PostedUpdate.update_id]).returning(
            PostedUpdate.update_id
        )
        async with self._sessions.transaction() as session:
            return (await session.scalar(statement)) is not None

    async def done(self, update_id: int) -> None:
        """Only its number is remembered from now on."""
        async with self._sessions.transaction() as session:
            await session.execute(
                update(PostedUpdate)
                .where(PostedUpdate.update_id == update_id)
                .values(body=None, telegram_id=None)
            )

    async def hold(self, update_ids: Iterable[int]) -> None:
        """Say that this process works on these updates."""
        await self._sessions.hold(PostedUpdate.update_id, update_ids)

    async def take_over(self, *, silent_for: float) -> dict[int, dict[str, Any]]:
        """The updates that were not done and that nobody held in so many seconds, by number; now held."""
        statement = (
            update(PostedUpdate)
            .where(PostedUpdate.body.is_not(None), PostedUpdate.held_at <= ago(silent_for))
            .values(held_at=ago())
            .returning(PostedUpdate)
        )
        async with self._sessions.transaction() as session:
            rows = sorted(await session.scalars(statement), key=lambda row: row.update_id)
            return {row.update_id: row.body for row in rows if row.body is not None}

    async def forget(self, *, after: float) -> None:
        """Forget the numbers of updates that were done so many seconds ago: they do not come again."""
        async with self._sessions.transaction() as session:
            await session.execute(
                delete(PostedUpdate).where(PostedUpdate.body.is_(None), PostedUpdate.held_at < ago(after))
            )
