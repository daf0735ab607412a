"""Pictures and questions that must be answered: from accepted to answered, through a crash of the bot too."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Row, Select, Update, bindparam, func, or_, select, update
from sqlalchemy.sql.dml import ReturningUpdate

from bot.feedback.clock import ago
from bot.feedback.database import NotStored
from bot.feedback.people import People, Sender
from bot.feedback.prepared import Asked
from bot.feedback.sessions import Sessions, made
from bot.feedback.states import ANSWER, CLAIM, FAIL, RETRY, TAKE_UP, UNFINISHED, JobState, Move
from bot.feedback.tables import Choice, Job, JobKind, Place, now
from bot.feedback.usage import NO_DAY_LIMITS, DayLimits, Usages
from inference.common.types import DecodingOptions

DEFAULT_OPTIONS_KEY = "default"  # of a job that leaves the options to the model

_JOBS = Job.columns()
_ID = _JOBS.c.id
_THAT = _JOBS.c.id == bindparam("job_id")
# What is asked for; who is to answer it makes one or several jobs of it.
_QUESTION = ("chat_id", "message_id", "kind", "options_key", "file_unique_id")
_CHOICE = ("model", "part")


# Statements that every picture needs are made once: to make one costs as much as to run it.
def _same(*names: str) -> Select[Any]:
    """The jobs that are as these parameters say."""
    return select(_JOBS).where(*(_JOBS.c[name] == bindparam(name) for name in names)).order_by(_ID)


def _changing(**values: Any) -> Update:
    """Changes the job ``job_id``."""
    return update(_JOBS).where(_THAT).values(**values, updated_at=ago())


def _moving(move: Move, **values: Any) -> Update:
    """Moves the job ``job_id``, if it is where the move begins."""
    return _changing(state=move.after, **values).where(
        or_(*(_JOBS.c.state == state for state in move.before))
    )


def _mine(statement: Update) -> Update:
    """Of a job that belongs to the process ``me`` alone, which says with it that it works on it."""
    return statement.where(_JOBS.c.owner == bindparam("me")).values(held_at=ago())


JOB = select(_JOBS).where(_THAT)
_KNOWN = _same(*_QUESTION)
# Of one update, whatever the person has chosen since it came first.
_REPEATED = _same(*(name for name in _QUESTION if name != "options_key"))
_ONE = _same(*_QUESTION, *_CHOICE)
_COMPARE = update(_JOBS).where(_THAT).values(compared_with=bindparam("others")).returning(_JOBS)
_CLAIM, _TAKE_UP = (
    _mine(_moving(move, attempts=_JOBS.c.attempts + 1)).returning(_JOBS) for move in (CLAIM, TAKE_UP)
)
_RETRY = _moving(RETRY, reason=None, sending_at=None, owner=bindparam("me"), held_at=ago()).returning(_ID)
_ANSWER = _moving(ANSWER, reply_message_id=bindparam("reply"), reason=None).returning(_ID)
_FAIL = _moving(FAIL, reason=bindparam("why"), failure=bindparam("sort")).returning(_ID)
_NOTICE = update(_JOBS).where(_THAT).values(notice_message_id=bindparam("notice")).returning(_ID)
# Checked and written in one: a process that stood still must not send what another one has sent meanwhile.
_SENDING = _mine(_changing(sending_at=ago())).returning(_ID)
_NOT_SENT = _mine(_changing(sending_at=None)).returning(_ID)
_ANSWER_LOST = _mine(_changing(lost_answers=_JOBS.c.lost_answers + 1)).returning(_JOBS)


def options_key(options: DecodingOptions | None) -> str:
    """The part of the caches' and the jobs' keys that stands for ``options``."""
    return DEFAULT_OPTIONS_KEY if options is None else options.key()


class Jobs:
    """Jobs by number. One that is erased raises NotStored, where it is not said otherwise.

    ``me``: which process this is. What it accepts or takes over belongs to it, until another takes it over.
    ``asked_until``: what was asked until then, and is not known here, may have been answered (Restores).
    """

    def __init__(
        self,
        sessions: Sessions,
        people: People,
        usages: Usages,
        me: str,
        asked_until: datetime | None = None,
    ) -> None:
        self._usages = usages
        self._asked_until = asked_until
        self._sessions = sessions
        self._people = people
        self._me = me
        self._insert = (
            sessions.insert(Job)
            .values(owner=me, held_at=ago(), updated_at=ago())
            .on_conflict_do_nothing(index_elements=(*_QUESTION, *_CHOICE))
            .returning(Job.columns())
        )

    async def accept(
        self,
        *,
        user_id: int,
        place: Place,
        message_id: int,
        file_id: str,
        file_unique_id: str,
        language: str,
        kind: JobKind = "caption",
        options: DecodingOptions | None = None,
        question: str | None = None,
        about_caption_id: int | None = None,
        source_caption_id: int | None = None,
        choices: Sequence[Choice] = (Choice(),),
        again: bool = False,
        sender: Sender = "asker",
        asked_at: datetime | None = None,
        limits: DayLimits = NO_DAY_LIMITS,
    ) -> list[tuple[Job, bool]]:
        """Write down that this picture must be answered, before anything slow: a job for every choice.

        True beside a job: it is new. The same picture of the same message and kind give the same jobs,
        whatever their state, options and model, so a redelivered update makes no further one; variants only
        with the same options. ``again``: the person asks for it; then only a job of the same options, model
        and part is the same, and compared anew.
        ``options`` None: the model's own. ``question``: see :attr:`Job.question`. ``asked_at``: when, by
        Telegram's clock; None: just now.
        Raises NotStored when the person or the source caption was erased, DayFull beyond the ``limits``.
        """
        values: dict[str, Any] = {
            "user_id": user_id,
            "chat_id": place.chat_id,
            "message_thread_id": place.thread_id,
            "business_connection_id": place.business_connection_id,
            "direct_messages_topic_id": place.direct_messages_topic_id,
            "message_id": message_id,
            "kind": kind,
            "file_id": file_id,
            "file_unique_id": file_unique_id,
            "options": None if options is None else options.to_dict(),
            "options_key": options_key(options),
            "question": question,
            "about_caption_id": about_caption_id,
            "source_caption_id": source_caption_id,
            "language": language,
            "state": JobState.ACCEPTED,
            "attempts": 0,
            "sending_at": now() if self._may_be_answered(asked_at) else None,
            "created_at": now(),
        }
        asker = 0 if limits == NO_DAY_LIMITS else await self._people.telegram_id(user_id)

        def work(connection: Asked) -> list[tuple[Job, bool]]:
            if not again:
                same = _KNOWN if kind == "variant" else _REPEATED
                if known := connection.execute(same, {name: values[name] for name in _QUESTION}).all():
                    return [(made(Job, row), False) for row in known]
            if limits != NO_DAY_LIMITS:
                self._usages.count(connection, limits, asker, place.chat_id)
            whose, keeps = self._people.sender(connection, user_id, sender)
            settled = values | {"sender": whose, "keeps_picture": keeps}
            return [self._add(connection, settled, choice) for choice in choices]

        return await self._sessions.transact(work)

    def _may_be_answered(self, asked_at: datetime | None) -> bool:
        """Whether a picture that is not known may have been answered before the store was restored."""
        return asked_at is not None and self._asked_until is not None and asked_at <= self._asked_until

    def _add(self, connection: Asked, values: dict[str, Any], choice: Choice) -> tuple[Job, bool]:
        """The job of this choice, and whether it is new."""
        chosen = values | {
            "model": choice.model,
            "part": choice.part,
            "compared_with": choice.compared_with,
        }
        created = connection.execute(self._insert, chosen).one_or_none()
        if created is not None:
            return made(Job, created), True
        known = connection.execute(_ONE, {name: chosen[name] for name in (*_QUESTION, *_CHOICE)}).one()
        compared = {"job_id": known.id, "others": choice.compared_with}
        return made(Job, connection.execute(_COMPARE, compared).one()), False

    async def get(self, job_id: int) -> Job | None:
        """The job of this number; None: erased."""
        return made(Job, await self._sessions.read(JOB, {"job_id": job_id}))

    async def earlier_parts(self, job: Job) -> Sequence[Job]:
        """The jobs whose captions stand before this one's in a comparison."""
        async with self._sessions.reading() as session:
            found = await session.scalars(
                select(Job).where(
                    *(getattr(Job, name) == getattr(job, name) for name in _QUESTION),
                    Job.model.in_(job.compared_with or ()),
                    Job.part.between(1, job.part - 1),
                )
            )
            return found.all()

    async def of_caption(self, caption_id: int, chat_id: int, reply_message_id: int) -> Job | None:
        """The job that was answered with this caption by this message, or else any, in this chat if there is
        one; None: erased.
        """
        async with self._sessions.reading() as session:
            return await session.scalar(
                select(Job)
                .where(Job.caption_id == caption_id)
                .order_by(
                    (Job.chat_id == chat_id).desc(),
                    func.coalesce(Job.reply_message_id == reply_message_id, False).desc(),
                    Job.id.desc(),
                )
                .limit(1)
            )

    async def hold(self, job_ids: Iterable[int]) -> None:
        """Say that this process works on these jobs, as far as they are still its own."""
        await self._sessions.hold(Job.id, job_ids, Job.owner == self._me)

    async def take_over(self, *, silent_for: float = 0.0) -> list[Job]:
        """The unfinished jobs that nobody held in so many seconds, the oldest first; now they are this
        process's own. Claim each with ``resume=True``.
        """
        # A bot of a version before there were owners may be at work beside this one: it says so there.
        held_at = func.coalesce(Job.held_at, Job.updated_at)
        statement = (
            update(Job)
            .where(Job.state.in_(UNFINISHED), held_at <= ago(silent_for))
            .values(owner=self._me, held_at=ago())
            .returning(Job)
        )
        async with self._sessions.transaction() as session:
            return sorted(await session.scalars(statement), key=lambda job: job.id)

    async def claim(self, job_id: int, *, resume: bool = False) -> Job | None:
        """Begin to work on a job of this process's own; None when that was done before, or it is another's,
        finished or erased.

        ``resume``: also take a job left in work by a process that died (:meth:`take_over`).
        :attr:`Job.attempts` counts the claims, so that a picture that kills the bot can be given up.
        """
        return made(Job, await self._change(job_id, _TAKE_UP if resume else _CLAIM, me=self._me))

    async def retry(self, job_id: int) -> bool:
        """Put a failed job back to accepted, as this process's own; False when it is not a failed one."""
        return await self._change(job_id, _RETRY, me=self._me) is not None

    async def answered(self, job_id: int, reply_message_id: int) -> None:
        """The reply is in the chat, in this message."""
        if await self._change(job_id, _ANSWER, reply=reply_message_id) is None:
            raise NotStored("This job was erased.")

    async def failed(self, job_id: int, reason: str, kind: str | None = None) -> None:
        """No caption will come; ``reason`` and the ``kind`` of failure are for the operator."""
        if await self._change(job_id, _FAIL, why=reason, sort=kind) is None:
            raise NotStored("This job was erased.")

    async def mark_reply_sending(self, job_id: int) -> None:
        """The reply is about to go out. Raises NotStored also when another process took the job over."""
        await self._change_mine(job_id, _SENDING)

    async def reply_not_sent(self, job_id: int) -> None:
        """Take :meth:`mark_reply_sending` back: the reply certainly did not go out. Raises as that does."""
        await self._change_mine(job_id, _NOT_SENT)

    async def answer_lost(self, job_id: int) -> Job:
        """Whether the reply went out nobody knows; the job. Raises as :meth:`mark_reply_sending` does."""
        return made(Job, await self._change_mine(job_id, _ANSWER_LOST))

    async def _change_mine(self, job_id: int, change: ReturningUpdate[Any]) -> Row[Any]:
        if (changed := await self._change(job_id, change, me=self._me)) is None:
            raise NotStored("This job was erased, or another bot has taken it over.")
        return changed

    async def _change(self, job_id: int, change: ReturningUpdate[Any], **values: Any) -> Row[Any] | None:
        """What it returns; None: the job is in no state from which it leads, another's, or erased."""
        return await self._sessions.write(change, {"job_id": job_id, **values})

    async def noticed(self, job_id: int, message_id: int | None) -> None:
        """This message tells the job's place in the queue; None: it is gone."""
        if await self._change(job_id, _NOTICE, notice=message_id) is None:
            raise NotStored("This job was erased.")
