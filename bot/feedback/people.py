"""The people who write to the bot, and what they have chosen."""

from __future__ import annotations

from typing import Any, Literal, cast

from sqlalchemy import Row, bindparam, case, select, update

from bot.common.accounts import is_person
from bot.feedback import database
from bot.feedback.database import NotStored
from bot.feedback.pictures import Pictures
from bot.feedback.prepared import Asked
from bot.feedback.pseudonyms import Pseudonyms
from bot.feedback.sessions import Sessions, changed, made
from bot.feedback.tables import Job, User, now

Sender = int | Literal["asker"] | Job | None
"""Whose picture it is, by Telegram id; None: nobody's who could let it be kept. A job: the one by which the
picture came (now nothing new is sent)."""

# Made once: every update asks.
_USERS = User.columns()
_BY_NUMBER = select(_USERS).where(_USERS.c.telegram_id == bindparam("number"))
_BY_ID = select(_USERS).where(_USERS.c.id == bindparam("user_id"))
# Locked: whoever takes the permission back meanwhile waits, and then finds the job too that is made of it.
_SENDER, _ASKER = (
    statement.with_only_columns(_USERS.c.telegram_id, _USERS.c.consent).with_for_update(read=True)
    for statement in (_BY_NUMBER, _BY_ID)
)


class People:
    """People, and chats in whose name somebody writes (see bot.messages.senders)."""

    def __init__(self, sessions: Sessions, pictures: Pictures, pseudonyms: Pseudonyms) -> None:
        self._sessions = sessions
        self._pictures = pictures
        self._pseudonyms = pseudonyms
        insert = sessions.insert(User).values(language_chosen=False, consent=False, active=True)
        language = case((_USERS.c.language_chosen, _USERS.c.language), else_=insert.excluded.language)
        self._meet = insert.on_conflict_do_update(
            index_elements=[_USERS.c.telegram_id],
            set_={"username": insert.excluded.username, "language": language, "active": True},
        ).returning(_USERS)

    async def meet(self, telegram_id: int, *, language: str, username: str | None = None) -> User:
        """The person of this Telegram number, made at the first meeting; who writes is active again.

        ``language`` (Telegram's) counts until the person chooses one with :meth:`set_language`.
        """
        known = await self.find(telegram_id)
        if (
            known is not None
            and known.active
            and known.username == username
            and (known.language_chosen or known.language == language)
        ):
            return known  # the usual case needs no write
        met = {"telegram_id": telegram_id, "username": username, "language": language, "created_at": now()}
        return made(User, cast("Row[Any]", await self._sessions.write(self._meet, met)))

    async def get(self, user_id: int) -> User:
        """The person of this :attr:`User.id`. Raises NotStored."""
        row = await self._sessions.read(_BY_ID, {"user_id": user_id})
        if row is None:
            raise NotStored("This person was erased.")
        return made(User, row)

    async def find(self, telegram_id: int) -> User | None:
        """The person of this Telegram number; None: never met, or erased."""
        return made(User, await self._sessions.read(_BY_NUMBER, {"number": telegram_id}))

    async def telegram_id(self, user_id: int) -> int:
        """The number of the person's private chat. Raises NotStored."""
        return (await self.get(user_id)).telegram_id

    async def set_language(self, user_id: int, language: str) -> None:
        """The language the person chose. Raises NotStored."""
        await self._set(user_id, language=language, language_chosen=True)

    async def choose_model(self, user_id: int, model: str | None) -> None:
        """The model that the person chose; None: whatever the operator serves. Raises NotStored."""
        await self._set(user_id, model=model)

    async def compare_with(self, user_id: int, models: tuple[str, ...] | None) -> None:
        """Answer with several captions: see :attr:`User.compare_with`. Raises NotStored."""
        await self._set(user_id, compare_with=models)

    async def choose_telling(self, user_id: int, **chosen: str | bool) -> User:
        """How descriptions are told (see :attr:`User.detail` and the columns below it); the person as they
        are now. Raises NotStored.
        """
        await self._set(user_id, **chosen)
        return await self.get(user_id)

    async def _set(self, user_id: int, **values: Any) -> None:
        """Change columns of one person. Raises NotStored."""
        async with self._sessions.transaction() as session:
            if not await changed(session, update(User).where(User.id == user_id).values(**values)):
                raise NotStored("This person was erased.")

    async def set_consent(self, user_id: int, consent: bool) -> None:
        """May pictures sent from now on be kept? Withdrawing also deletes what was kept. Raises NotStored."""
        if consent:
            await self._set(user_id, consent=True)
            return
        async with self._pictures.lock:
            async with self._sessions.transaction() as session:
                await database.lock_pictures_exclusively(session)
                user = await session.get(User, user_id, with_for_update=True)
                if user is None:
                    raise NotStored("This person was erased.")
                user.consent = False
                await session.flush()
                whose = self._pseudonyms.sender(user.telegram_id)
                kept = update(Job).where(Job.sender == whose, Job.keeps_picture.is_(True))
                await changed(session, kept.values(keeps_picture=False))
                await self._pictures.unkeep(session, whose)
            await self._pictures.empty_trash()

    async def deactivate(self, telegram_id: int) -> None:
        """The person, if known, blocked the bot. Their next message makes them active again."""
        async with self._sessions.transaction() as session:
            await session.execute(update(User).where(User.telegram_id == telegram_id).values(active=False))

    def sender(self, connection: Asked, user_id: int, sender: Sender) -> tuple[str, bool]:
        """The pseudonym of whose picture it is, and whether they let it be kept; ``user_id``: the asker.

        Whoever is meant by it stays as they are until the transaction of ``connection`` ends.
        """
        if isinstance(sender, Job):
            return sender.sender, False
        if sender is None:
            return "", False
        if sender == "asker":
            found = connection.execute(_ASKER, {"user_id": user_id}).one_or_none()
        else:
            found = connection.execute(_SENDER, {"number": sender}).one_or_none()
        if found is None:  # never met, or erased
            return ("" if sender == "asker" else self._pseudonyms.sender(sender)), False
        if not is_person(found.telegram_id):  # a chat in whose name somebody asks has sent nothing
            return "", False
        return self._pseudonyms.sender(found.telegram_id), found.consent
