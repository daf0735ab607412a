"""``.env``: the settings that stand in the folder that one is in, beside those of the environment."""

from __future__ import annotations

from dotenv import dotenv_values

from inference.common.types import EngineError

__all__ = ["FILE", "SettingsFileError", "reading_failed", "written"]

FILE = ".env"


class SettingsFileError(EngineError):
    """``.env`` cannot be read: ``str()`` is one sentence that says what to do."""


def reading_failed(error: OSError | UnicodeDecodeError) -> str:
    """The sentence for it; what stands in the file stays out of it, since that may be a key."""
    why = "it is not UTF-8" if isinstance(error, UnicodeDecodeError) else error.strerror
    return f"The settings in {FILE} cannot be read ({why}): save it as UTF-8 that this user may read."


def written() -> dict[str, str | None]:
    """What stands there; nothing where there is no such file. Raises SettingsFileError."""
    try:
        return dotenv_values(FILE)
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsFileError(reading_failed(error)) from None
