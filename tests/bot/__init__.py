"""Tests of the bot, which import aiogram as the bot does: most of what it would build is used by none."""

from bot.common.telegram_types import import_aiogram

import_aiogram()
