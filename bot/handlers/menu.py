"""The menu of commands that Telegram shows beside the field for writing."""

from __future__ import annotations

import logging

from aiogram import Bot
from aiogram.exceptions import AiogramError
from aiogram.types import BotCommand

from bot.texts import sentences, texts

logger = logging.getLogger(__name__)

_COMMANDS = {
    "caption": sentences.COMMAND_CAPTION,
    "model": sentences.COMMAND_MODEL,
    "compare": sentences.COMMAND_COMPARE,
    "settings": sentences.COMMAND_SETTINGS,
    "language": sentences.COMMAND_LANGUAGE,
    "privacy": sentences.COMMAND_PRIVACY,
    "forget": sentences.COMMAND_FORGET,
    "help": sentences.COMMAND_HELP,
}


async def describe_commands(bot: Bot) -> None:
    """Set the menu: Russian by default, English for people with an English Telegram. Failing is logged."""
    try:
        for language, code in (("ru", None), ("en", "en")):
            words = texts(language)
            commands = [
                BotCommand(command=name, description=words(sentence)) for name, sentence in _COMMANDS.items()
            ]
            await bot.set_my_commands(commands, language_code=code)
    except AiogramError as error:
        logger.info("The menu of commands could not be set: %s", error)
