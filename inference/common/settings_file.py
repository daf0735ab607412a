"""``.env``: the settings that stand in the folder that one is in, beside those of the environment."""

from __future__ import annotations

import difflib
import logging
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Final

from dotenv import dotenv_values
from dotenv.parser import parse_stream

from inference.common.types import EngineError

__all__ = ["ENCODING", "FILE", "NAMES", "SettingsFileError", "doubts", "reading_failed", "written"]

FILE = ".env"
ENCODING = "utf-8-sig"  # with the mark that editors of Windows put before it, or without

# What may stand there for this package and for Docker Compose; .env.example says what each is.
NAMES: Final = frozenset({
    "HUB_PROMPT", "HUB_TRANSLATION", "CHAT_PROMPTS",
    "OPENAI_BASE_URL", "OPENAI_API_KEY", "OPENAI_MODELS", "OPENAI_TIMEOUT", "OPENAI_CONCURRENCY",
    "OPENAI_PICTURE_SIZE", "OPENAI_MAX_TOKENS", "OPENAI_EXTRA_BODY",
    "SERVE_API_KEYS", "SERVE_HOSTS", "LOG_LEVEL", "LOG_FORMAT",
    "BUILD_TARGET", "PIP_EXTRA_INDEX_URL", "POSTGRES_PASSWORD",
})  # fmt: skip

# Below it are names of other programs, which may stand there too: HF_TOKEN is to BOT_TOKEN as near as 0.71.
_NEAR = 0.8

# It says as much as doubts() does, once for each time that the file is read, and not what to do.
logging.getLogger("dotenv.main").setLevel(logging.ERROR)


class SettingsFileError(EngineError):
    """``.env`` cannot be read: ``str()`` is one sentence that says what to do."""


def reading_failed(error: OSError | UnicodeDecodeError) -> str:
    """The sentence for it; what stands in the file stays out of it, since that may be a key."""
    why = "it is not UTF-8" if isinstance(error, UnicodeDecodeError) else error.strerror
    return f"The settings in {FILE} cannot be read ({why}): save it as UTF-8 that this user may read."


def written() -> dict[str, str | None]:
    """What stands there, by names in capitals; nothing where there is no such file.

    Raises SettingsFileError.
    """
    try:
        return {name.upper(): value for name, value in dotenv_values(FILE, encoding=ENCODING).items()}
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsFileError(reading_failed(error)) from None


def doubts(known: Collection[str]) -> Iterator[str]:
    """A sentence for each line there that sets nothing and was to: its name is nearly one of ``known``, or
    it is not of the form NAME=value.

    Other names may be settings of other programs. Raises SettingsFileError.
    """
    try:
        if not Path(FILE).is_file():
            return
        with Path(FILE).open(encoding=ENCODING) as file:
            lines = list(parse_stream(file))
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsFileError(reading_failed(error)) from None
    for line in lines:
        text = line.original.string  # with the empty lines before it
        number = line.original.line + text[: len(text) - len(text.lstrip())].count("\n")
        # What stands in a line that is no setting may be a key, and is not repeated.
        if line.error or (line.key is not None and line.value is None):
            yield f"Line {number} of {FILE} sets nothing: write it as NAME=value."
        elif line.key is not None and line.key.upper() not in known:
            for near in difflib.get_close_matches(line.key.upper(), known, 1, _NEAR):
                yield (
                    f"Line {number} of {FILE} sets {line.key}, which is no setting and changes "
                    f"nothing: did you mean {near}?"
                )
