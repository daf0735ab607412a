"""What a failed request of the Bot API says of its effect: none, or nobody knows."""

from __future__ import annotations

from aiogram.exceptions import (
    ClientDecodeError,
    TelegramAPIError,
    TelegramBadRequest,
    TelegramEntityTooLarge,
    TelegramForbiddenError,
    TelegramNetworkError,
    TelegramServerError,
)


class NotWritten(TelegramNetworkError):  # noqa: N818 - says what happened
    """The connection broke before any of the request was written: the server knows nothing of it."""


class LeftOut(TelegramAPIError):  # noqa: N818 - says what happened
    """It was not sent: it is worth little, and what matters more may soon need the chat's room."""


class GatewayTimeout(TelegramServerError):  # noqa: N818 - the name of the status
    """A server in between has waited long enough; Telegram may do what it was asked all the same."""


# Errors after which the same request may well succeed.
TRANSIENT = (TelegramNetworkError, TelegramServerError, ClientDecodeError)

# What Telegram says, as of a wrong request, where a group lets the bot write nothing.
_NO_RIGHTS = ("not enough rights to send", "chat_restricted")


def may_not_write(error: BaseException) -> bool:
    """Whether the bot may not write there: it is blocked, was thrown out, or has no right to."""
    if isinstance(error, TelegramBadRequest):
        return any(reason in error.message.lower() for reason in _NO_RIGHTS)
    return isinstance(error, TelegramForbiddenError)


def surely_not_done(error: BaseException) -> bool:
    """Whether the failed request certainly had no effect: the server said so, or was never reached."""
    if isinstance(error, NotWritten | TelegramEntityTooLarge):
        return True
    # What cannot be read may be Telegram's word that it is done.
    unknown = isinstance(error, TelegramNetworkError | GatewayTimeout | ClientDecodeError)
    return isinstance(error, TelegramAPIError) and not unknown
