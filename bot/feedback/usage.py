"""How many pictures and questions of a person, a group and everybody were accepted today, by the database's
clock.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from sqlalchemy import delete

from bot.feedback.clock import today
from bot.feedback.prepared import Asked
from bot.feedback.pseudonyms import Pseudonyms
from bot.feedback.sessions import Sessions
from bot.feedback.tables import Usage, now

Whose = Literal["person", "group", "everybody"]


@dataclass(frozen=True, slots=True)
class DayLimits:
    """Pictures a day (UTC), variants and questions counted; 0: as many as come. A comparison is one."""

    person: int = 0
    group: int = 0
    everybody: int = 0


NO_DAY_LIMITS = DayLimits()
_FORGET = delete(Usage.columns()).where(Usage.columns().c.day < today())


class DayFull(Exception):  # noqa: N818 - a state
    """So many pictures and questions as one may have a day were accepted; ``seconds`` are left of it."""

    def __init__(self, whose: Whose, limit: int) -> None:
        super().__init__(f"{limit} pictures of {whose} today")
        self.whose = whose
        self.limit = limit
        moment = now()
        midnight = moment.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
        self.seconds = (midnight - moment).total_seconds()


class Usages:
    """Counted by a pseudonym, and for the day alone. An erasure leaves it: else it would be a way round."""

    def __init__(self, sessions: Sessions, pseudonyms: Pseudonyms) -> None:
        self._pseudonyms = pseudonyms
        insert = sessions.insert(Usage).values(day=today(), pictures=1)
        self._one_more = insert.on_conflict_do_update(
            index_elements=[Usage.day, Usage.whose], set_={"pictures": Usage.columns().c.pictures + 1}
        ).returning(Usage.columns().c.pictures)

    def count(self, connection: Asked, limits: DayLimits, telegram_id: int, chat_id: int) -> None:
        """One more picture or question of this person in this chat, within a transaction. Raises DayFull."""
        for whose, limit, name in self._counted(limits, telegram_id, chat_id):
            pictures = connection.scalar(self._one_more, {"whose": name})
            if pictures is not None and pictures > limit:
                raise DayFull(whose, limit)
            if pictures == 1:  # the first one today
                connection.execute(_FORGET)

    def _counted(self, limits: DayLimits, telegram_id: int, chat_id: int) -> Iterator[tuple[Whose, int, str]]:
        if limits.person:
            yield "person", limits.person, self._pseudonyms.sender(telegram_id)
        if limits.group and chat_id < 0:
            yield "group", limits.group, self._pseudonyms.sender(chat_id)
        if limits.everybody:
            yield "everybody", limits.everybody, ""
