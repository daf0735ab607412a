"""Why there is no answer, in the shape and with the statuses that OpenAI's clients know.

Their official one makes of 400 a ``BadRequestError``, of 401 an ``AuthenticationError``, of 404 a
``NotFoundError`` and of 429 a ``RateLimitError``. It asks twice more after 429 and 5xx, unless told not to.
"""

from __future__ import annotations

from http import HTTPStatus

from inference.serving.access import KEY_WANTED
from inference.serving.exchange import Reply

RETRY_AFTER = 10  # seconds in which a full queue has moved on

_BUSY = {"Retry-After": str(RETRY_AFTER)}
_NO_RETRY = {"x-should-retry": "false"}  # the engine has tried again by itself, or it would be for nothing
# By what remote.ERRORS calls it: where status, code or headers are others than those of our own protocol.
_STATUS = {"picture": HTTPStatus.BAD_REQUEST, "busy": HTTPStatus.TOO_MANY_REQUESTS}
_CODES = {"busy": "rate_limit_exceeded", "unknown_model": "model_not_found", "key": "invalid_api_key"}
_HEADERS = {
    "busy": _BUSY, "key": KEY_WANTED, "timeout": _NO_RETRY, "crashed": _NO_RETRY, "not_loaded": _NO_RETRY,
}  # fmt: skip


class RefusedError(Exception):
    """A request that cannot be answered as it is; ``str()`` is a sentence that says what to do."""

    def __init__(
        self, sentence: str, code: str, param: str | None = None, status: int = HTTPStatus.BAD_REQUEST
    ) -> None:
        super().__init__(sentence)
        self.code = code
        self.param = param  # the field of the request
        self.status = status

    def reply(self) -> Reply:
        """What the caller gets."""
        return _reply(self.status, str(self), self.code, self.param)


def refusal(kind: str, status: int, sentence: str, code: str | None = None) -> Reply:
    """An error of the engine, or of who may use it, in OpenAI's shape; ``kind``: see remote.ERRORS."""
    return _reply(
        _STATUS.get(kind, status),
        sentence,
        code or _CODES.get(kind, kind),
        "model" if kind == "unknown_model" else None,
        _HEADERS.get(kind),
    )


def _reply(
    status: int, sentence: str, code: str, param: str | None = None, headers: dict[str, str] | None = None
) -> Reply:
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        kind = "rate_limit_error"
    else:
        kind = "server_error" if status >= HTTPStatus.INTERNAL_SERVER_ERROR else "invalid_request_error"
    error = {"message": sentence, "type": kind, "param": param, "code": code}
    return Reply.of(status, {"error": error}, headers)
