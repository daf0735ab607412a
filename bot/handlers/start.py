"""/start and /help; also people who block the bot, and groups that become supergroups."""

from __future__ import annotations

from aiogram import F, Router
from aiogram.enums import ChatMemberStatus, ChatType
from aiogram.types import ChatMemberUpdated, Message

from bot.captioning.models import Catalogue
from bot.config import Settings
from bot.feedback.store import Store
from bot.feedback.tables import User
from bot.handlers.common import IN_PRIVATE, TextCommand, Where, say
from bot.handlers.pages import consent_keyboard, greeting
from bot.middlewares.requests import MigrationMiddleware
from bot.texts import Texts, sentences


def router() -> Router:
    """A new router."""
    made = Router(name="start")
    made.message.register(start, TextCommand("start"))
    made.message.register(help_, TextCommand("help"))
    made.message.register(moved, Where(F.migrate_to_chat_id))
    made.my_chat_member.register(blocked_or_back, IN_PRIVATE)
    return made


async def start(message: Message, user: User, words: Texts, catalogue: Catalogue) -> None:
    """Say what the bot is, and ask whether it may keep pictures; nothing else asks for that by itself."""
    hosts = await catalogue.hosts(user)
    if message.chat.type != ChatType.PRIVATE:  # one person's choice is no matter for a group
        await say(message, greeting(None, hosts, words))
        return
    keyboard = consent_keyboard(user, user.consent, words, start=True)
    await say(message, greeting(user.consent, hosts, words), keyboard)


async def help_(message: Message, words: Texts, settings: Settings) -> None:
    """Say how to use it, to an operator in private also what nobody else may."""
    text = words(sentences.HELP, megabytes=f"{settings.max_file_mb:g}")
    # A private chat's number is the person's.
    if message.chat.id in settings.admin_ids:
        text += f"\n\n{words(sentences.HELP_OPERATOR)}"
    await say(message, text)


async def moved(message: Message, migration: MigrationMiddleware) -> None:
    """Follow a group to its new id."""
    if message.migrate_to_chat_id is not None:
        migration.moved(message.chat.id, message.migrate_to_chat_id)


async def blocked_or_back(event: ChatMemberUpdated, store: Store) -> None:
    """Somebody blocked the bot. Who comes back writes, and is active again by that."""
    if event.new_chat_member.status == ChatMemberStatus.KICKED:
        await store.people.deactivate(event.from_user.id)
