"""Frames between the engine and its processes: JSON and raw bytes, never pickle, over a pair of pipes.

A frame is two big-endian 32-bit lengths, the JSON message, then the message's attachments one after the other
(their lengths are the message's ``"sizes"``). A message of the engine has ``"picture"`` besides: the id of
the picture or pictures that it is about, for the logs (see inference.common.tracing).

Engine to opener:
    ``{"type": "open", "sizes": [int]}`` + the file's bytes
Opener to engine:
    ``{"type": "opened", ...}``, see :class:`Opened`, + the pixels;
    ``{"type": "refused", "code": str, "sentence": str}``; ``{"type": "too_costly"}``: it took more time or
    memory than it may; ``{"type": "died", "exit_code": int}``: what opened it died of it
Engine to worker:
    ``{"type": "load", "model": str}``
    ``{"type": "caption", "model": str, "checkpoint": str, "options": dict | null, "ids": [int, ...]``,
    ``"traced": [str, ...], "pictures": [...], "sizes": [int, ...]}`` + each one's pixels; ``checkpoint``: the
    weights in the model's folder when the pictures came; ``ids``: by which they are answered; ``traced``:
    each one's id in the logs; ``pictures``: see :class:`Opened`
    ``{"type": "ask", ..., "asked": dict}``: the same for one picture, and what is asked about it, see
    :class:`inference.common.types.Asked`
    ``{"type": "leave", "ids": [int, ...]}``: nobody waits for these any more, which are with another machine
Worker to engine:
    ``{"type": "imported", "failed": sentence | null}``, once, before anything else: whether there is what
    loads models;
    ``{"type": "loaded", "model": str, "checkpoint": str}``;
    ``{"type": "not_loaded", "request": "load" | "caption" | "ask", "sentence": str}``, then no more;
    ``{"type": "begun"}`` once the model is there and the pictures' own time starts;
    ``{"type": "answered", "id": int, "result": ...}``, one a picture, in any order; the result is
    ``{"caption": dict}``, ``{"answer": dict}`` or ``{"failed": sentence, "kind": one of errors.KINDS}``;
    ``{"type": "free"}`` once it can take the next message: what was not answered then is with another
    machine, or takes long, and will be
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO, Self

if TYPE_CHECKING:  # only the engine's side reads so: the others need no event loop
    import asyncio

_LENGTHS = struct.Struct(">II")

Message = dict[str, Any]
Attachments = list[bytes]


@dataclass(frozen=True, slots=True)
class Opened:
    """A picture on its way from its file to a model."""

    size: tuple[int, int]  # pixels, upright
    pixels: bytes  # RGB, 3 bytes each, row by row from the top
    notes: tuple[str, ...]  # see inference.pictures.opening.Picture
    seconds: float  # that it took to open it

    def to_dict(self) -> Message:
        """All but the pixels, JSON-able."""
        return {"size": list(self.size), "notes": list(self.notes), "seconds": self.seconds}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], pixels: bytes) -> Self:
        """What :meth:`to_dict` says, with its pixels. Raises KeyError or ValueError."""
        width, height = values["size"]
        return cls((width, height), pixels, tuple(values["notes"]), values["seconds"])


def pack(message: Message, attachments: Sequence[bytes] = ()) -> list[bytes]:
    """The frame in pieces, so that pictures are not copied. Raises TypeError for what JSON cannot say."""
    if attachments:
        message = {**message, "sizes": [len(data) for data in attachments]}
    # Numbers of numpy and torch find their way into a caption's seconds and confidence: they are floats.
    # A model's name is that of a folder, which need not be UTF-8.
    text = json.dumps(message, ensure_ascii=False, default=float).encode("utf-8", "surrogatepass")
    return [_LENGTHS.pack(len(text), sum(map(len, attachments))), text, *attachments]


def write(stream: BinaryIO, message: Message, attachments: Sequence[bytes] = ()) -> None:
    """Send a frame over a blocking stream. Raises as :func:`pack`, and OSError."""
    for piece in pack(message, attachments):
        stream.write(piece)
    stream.flush()


def read(stream: BinaryIO) -> tuple[Message, Attachments]:
    """The next frame of a blocking stream. Raises EOFError when the other side is gone."""
    text_length, body_length = _LENGTHS.unpack(_exactly(stream, _LENGTHS.size))
    text = _exactly(stream, text_length)
    return _unpack(text, _exactly(stream, body_length))


async def read_async(stream: asyncio.StreamReader) -> tuple[Message, Attachments]:
    """The next frame. Raises EOFError when the other side is gone (also in the middle of a frame)."""
    text_length, body_length = _LENGTHS.unpack(await stream.readexactly(_LENGTHS.size))
    text = await stream.readexactly(text_length)
    return _unpack(text, await stream.readexactly(body_length))


def _exactly(stream: BinaryIO, length: int) -> bytes:
    data = stream.read(length)  # a buffered stream gives less only at its end
    if len(data) < length:
        raise EOFError
    return data


def _unpack(text: bytes, body: bytes) -> tuple[Message, Attachments]:
    message: Message = json.loads(text.decode("utf-8", "surrogatepass"))
    attachments: Attachments = []
    start = 0
    for size in message.get("sizes", ()):
        attachments.append(body[start : start + size])
        start += size
    return message, attachments
