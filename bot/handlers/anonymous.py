"""What is written in the name of a chat: nobody is there whose settings, marks or data it could be about.

Pictures are described for such a chat as for anybody; see bot.messages.senders.
"""

from __future__ import annotations

from aiogram import Router
from aiogram.filters import Filter, or_f
from aiogram.types import Message

from bot.handlers.common import AnyCommand, TextCommand, reply
from bot.handlers.models import AnswersPicture
from bot.handlers.question import AsksAbout
from bot.messages.senders import author
from bot.middlewares.buttons import Gate
from bot.texts import Texts, sentences

# What only a person can choose, allow, erase or be entitled to.
PERSONAL = ("forget", "privacy", "model", "compare", "settings", "language", "export", "stats")


class InTheNameOfAChat(Filter):
    """Written by an anonymous administrator, or as a channel."""

    async def __call__(self, message: Message) -> bool:
        sender = author(message)
        return sender is not None and not sender.is_person


class AnswersSomePrompt(Filter):
    """The reply to a prompt, which was put to a person."""

    async def __call__(self, message: Message, gate: Gate) -> bool:
        return await gate.is_answer(message)


def router() -> Router:
    """A new router."""
    made = Router(name="anonymous")
    commands = or_f(*(TextCommand(name) for name in PERSONAL))
    made.message.register(refuse, InTheNameOfAChat(), commands)
    made.message.register(refuse, InTheNameOfAChat(), AnyCommand("compare"), AnswersPicture())
    made.message.register(refuse, InTheNameOfAChat(), AnswersSomePrompt())
    made.message.register(refuse, InTheNameOfAChat(), AsksAbout())
    return made


async def refuse(message: Message, words: Texts) -> None:
    """Say how to be somebody."""
    await reply(message, words(sentences.ANONYMOUS))
