"""Files that programs send beforehand, to name them in a conversation: in memory, for an hour."""

from __future__ import annotations

import asyncio
import secrets
import time
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Self

from multipart import MultipartSegment, PushMultipartParser, parse_options_header

from inference.pictures.opening import MAX_BYTES
from inference.serving.exchange import too_large
from inference.serving.openai_errors import RefusedError

_MOST_FIELDS = 100  # of a form
_PURPOSES = ("vision", "user_data", "assistants")  # for which OpenAI takes pictures


@dataclass(frozen=True, slots=True)
class Sent:
    """What a form has: the file, what it is called, and what it is for."""

    data: bytes
    name: str
    purpose: str

    @classmethod
    def read(cls, content_type: str, body: bytes) -> Self:
        """The file of a ``multipart/form-data`` body. Raises RefusedError, for a large one PictureError."""
        fields = _fields(content_type, body)
        if "file" not in fields:
            sentence = "There is no file in the form: send it as multipart/form-data, in the field 'file'."
            raise RefusedError(sentence, "invalid_request", "file")
        name, data = fields["file"]
        purpose = fields.get("purpose", ("", b""))[1].decode(errors="replace")
        if purpose not in _PURPOSES:
            sentence = f"Files are taken for one of {', '.join(_PURPOSES)}: name it as 'purpose'."
            raise RefusedError(sentence, "invalid_request", "purpose")
        if len(data) > MAX_BYTES:
            raise too_large()
        return cls(data, name or "file", purpose)


def _fields(content_type: str, body: bytes) -> dict[str, tuple[str | None, bytes]]:
    """By its name each field's file name and content. Raises RefusedError."""
    fields: dict[str, tuple[str | None, bytes]] = {}
    parts: list[bytes] = []
    try:
        _, options = parse_options_header(content_type)
        form = PushMultipartParser(
            options.get("boundary", ""), content_length=len(body), max_segment_count=_MOST_FIELDS
        )
        with form:
            for event in form.parse(body):
                if isinstance(event, MultipartSegment):
                    field, parts = event, []
                elif event is not None:
                    parts.append(event)
                else:
                    fields[field.name] = field.filename, b"".join(parts)
    except ValueError as error:  # a boundary that is no text, too
        sentence = "The form cannot be read: send it as multipart/form-data."
        raise RefusedError(sentence, "invalid_request") from error
    return fields


@dataclass(frozen=True, slots=True)
class Upload:
    """A file that is kept."""

    id: str
    owner: bytes
    sent: Sent
    created: float  # Unix time, seconds
    expires: float

    @property
    def data(self) -> bytes:
        return self.sent.data

    def to_dict(self) -> dict[str, Any]:
        """As OpenAI's ``FileObject``."""
        return {
            "id": self.id,
            "object": "file",
            "bytes": len(self.data),
            "created_at": int(self.created),
            "expires_at": int(self.expires),
            "filename": self.sent.name,
            "purpose": self.sent.purpose,
            "status": "processed",
        }


class Files:
    """Those of all callers; each sees its own.

    ``most``: bytes of all together; the oldest make room. ``lifetime``: seconds for which one is kept.
    """

    def __init__(self, *, most: int = 10 * MAX_BYTES, lifetime: float = 3600.0) -> None:
        self._most = most
        self._lifetime = lifetime
        self._kept: dict[str, Upload] = {}  # the oldest first

    def add(self, owner: bytes, sent: Sent) -> Upload:
        """Keep a file. Called within a running event loop."""
        now = time.time()
        upload = Upload(f"file-{secrets.token_hex(12)}", owner, sent, now, now + self._lifetime)
        self._kept[upload.id] = upload
        asyncio.get_running_loop().call_later(self._lifetime, self._kept.pop, upload.id, None)
        while sum(len(kept.data) for kept in self._kept.values()) > self._most:
            del self._kept[next(iter(self._kept))]
        return upload

    def get(self, owner: bytes, file_id: str) -> Upload:
        """Raises RefusedError (404): it is not, or no longer, kept, or is somebody else's."""
        upload = self._kept.get(file_id)
        if upload is None or upload.owner != owner:
            sentence = "There is no such file, or no longer: upload it once more."
            raise RefusedError(sentence, "file_not_found", "file_id", HTTPStatus.NOT_FOUND)
        return upload

    def of(self, owner: bytes) -> list[Upload]:
        """The owner's, the newest first."""
        return [upload for upload in reversed(self._kept.values()) if upload.owner == owner]

    def remove(self, owner: bytes, file_id: str) -> None:
        """Forget one. Raises RefusedError as :meth:`get`."""
        del self._kept[self.get(owner, file_id).id]
