"""What a request for a chat completion asks: of which picture, what, and in how many words it is to be told.

Of OpenAI's fields those are read that describing a picture can follow. What would make another answer than
the one that comes (``n``, ``tools``, sound, a form) is refused. How to search for words (``temperature``,
``seed`` and the like), which every client sends along, is each model's own affair and passed over.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, Field, ValidationError

from inference.common.types import Detail, Turn
from inference.pictures.opening import MAX_BYTES
from inference.russian.lists import LISTS
from inference.russian.patterns import alternatives
from inference.serving.exchange import first_mistake, too_large
from inference.serving.openai_errors import RefusedError
from inference.serving.uploads import Files

_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_SHORT = re.compile(rf"\b{alternatives(LISTS.answers.short)}\b", re.IGNORECASE)
_DETAILED = re.compile(rf"\b{alternatives(LISTS.answers.detailed)}\b", re.IGNORECASE)
_WORD = re.compile(r"\S+")
_MOST = 1000  # messages of a conversation, and parts of one: to read them costs time
_DETAILS: dict[str, Detail] = {"low": "short", "medium": "usual", "high": "detailed"}


class _Text(BaseModel):
    type: Literal["text"]
    text: str


class _Refusal(BaseModel):
    """Of a model, in a conversation so far."""

    type: Literal["refusal"]


class _Sound(BaseModel):
    type: Literal["input_audio"]


class _ImageUrl(BaseModel):
    url: str


class _Image(BaseModel):
    type: Literal["image_url"]
    image_url: _ImageUrl


class _GivenFile(BaseModel):
    file_data: str | None = None
    file_id: str | None = None


class _File(BaseModel):
    type: Literal["file"]
    file: _GivenFile


Part = Annotated[_Text | _Refusal | _Sound | _Image | _File, Field(discriminator="type")]
Picture = _Image | _File


def _parts(content: object) -> object:
    """A message's content is text, or parts, or nothing."""
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    return [] if content is None else content


class _Message(BaseModel):
    role: Literal["developer", "system", "user", "assistant", "tool", "function"]
    content: Annotated[list[Part], Field(max_length=_MOST), BeforeValidator(_parts)] = []

    @property
    def pictures(self) -> list[Picture]:
        return [part for part in self.content if isinstance(part, Picture)]

    @property
    def text(self) -> str:
        return "\n".join(part.text for part in self.content if isinstance(part, _Text))


class _StreamOptions(BaseModel):
    include_usage: bool | None = None


class _ResponseFormat(BaseModel):
    type: str


class ChatRequest(BaseModel):
    """The body of ``POST /v1/chat/completions``."""

    messages: list[_Message] = Field(min_length=1, max_length=_MOST)
    model: str | None = None  # None: the service's own default
    stream: bool | None = None
    stream_options: _StreamOptions | None = None
    max_completion_tokens: int | None = Field(None, ge=1)
    max_tokens: int | None = Field(None, ge=1)  # its former name
    verbosity: Literal["low", "medium", "high"] | None = None
    # What cannot be done.
    n: int | None = None
    tools: list[Any] | None = None
    functions: list[Any] | None = None
    audio: Any = None
    modalities: list[str] | None = None
    logprobs: bool | None = None
    response_format: _ResponseFormat | None = None
    stop: str | list[str] | None = None

    @classmethod
    def read(cls, body: bytes) -> Self:
        """The request. Raises RefusedError for what is none, or asks for what cannot be done."""
        try:
            request = cls.model_validate_json(body)
        except ValidationError as error:
            where, what = first_mistake(error)
            sentence = f"The request has a mistake{' in ' + where if where else ''}: {what}."
            raise RefusedError(sentence, "invalid_request", where or None) from None
        for field, sentence in request._impossible():
            raise RefusedError(f"{sentence}: leave {field!r} out.", "unsupported_parameter", field)
        return request

    def _impossible(self) -> Iterator[tuple[str, str]]:
        """The fields that ask for what no model here does, and why."""
        if self.n not in {None, 1}:
            yield "n", "One answer is given to a request"
        for field in ("tools", "functions"):
            if getattr(self, field):
                yield field, "The models here call no tools"
        if self.audio is not None:
            yield "audio", "The models here do not speak"
        if set(self.modalities or ()) - {"text"}:
            yield "modalities", "The models here answer in text"
        if self.logprobs:
            yield "logprobs", "The probabilities of words are not told"
        if self.response_format is not None and self.response_format.type != "text":
            yield "response_format", "The answer is plain text"
        if self.stop:
            yield "stop", "A description is given whole, or up to 'max_completion_tokens'"
        if any(isinstance(part, _Sound) for message in self.messages for part in message.content):
            yield "input_audio", "The models here do not hear"

    def conversation(self) -> Conversation:
        """The picture that is asked about, the last one that the person sent, and what was said of it.

        Raises RefusedError where there is none, or several came at once.
        """
        said = [message for message in self.messages if message.role in {"user", "assistant"}]
        sent = [message for message in said if message.role == "user" and message.pictures]
        if not sent:
            raise RefusedError(
                "There is no picture in this conversation: send one in a user's message, as a part of type "
                "'image_url' whose url is a data: URL, or as a part of type 'file'.",
                "no_picture",
                "messages",
            )
        if len(sent[-1].pictures) > 1:
            sentence = "One picture is described at a time: send each in a request of its own."
            raise RefusedError(sentence, "several_pictures", "messages")
        (picture,) = sent[-1].pictures
        # Programs send the picture again with each question about it.
        first = next(message for message in sent if picture in message.pictures)
        turns: list[Turn] = []
        question: list[str] = []
        for message in said[said.index(first) :]:
            if message.role == "user":
                question.append(message.text)
            else:
                turns.append(Turn("\n".join(question), message.text))
                question = []
        return Conversation(picture, tuple(turns), "\n".join(question))

    @property
    def words(self) -> int:
        """How many words the conversation has."""
        return sum(len(_WORD.findall(message.text)) for message in self.messages)

    @property
    def most_words(self) -> int | None:
        """How many the answer may have."""
        return self.max_completion_tokens or self.max_tokens

    def detail(self, question: str) -> Detail:
        """How much is to be told: by ``verbosity``, else by what the question wishes.

        Who wishes for both ("briefly, but in detail") gets the usual length.
        """
        if self.verbosity is not None:
            return _DETAILS[self.verbosity]
        short, detailed = _SHORT.search(question), _DETAILED.search(question)
        if bool(short) == bool(detailed):
            return "usual"
        return "short" if short else "detailed"


@dataclass(frozen=True, slots=True)
class Conversation:
    """About one picture."""

    picture: Picture
    turns: tuple[Turn, ...]  # what was said of it before
    question: str  # "": it is to be described

    def file(self, files: Files | None, caller: bytes) -> bytes:
        """The bytes of the picture's file. Raises RefusedError, or PictureError: it is too large."""
        data = _file_of(self.picture, files, caller)
        if len(data) > MAX_BYTES:
            raise too_large()
        return data


def _file_of(picture: Picture, files: Files | None, caller: bytes) -> bytes:
    """The bytes of a picture. Raises RefusedError."""
    if isinstance(picture, _Image):
        return _decoded(picture.image_url.url)
    if picture.file.file_data is not None:
        return _decoded(picture.file.file_data)
    if picture.file.file_id is None:
        raise RefusedError(
            "A part of type 'file' has 'file_data' or 'file_id': give one.", "no_picture", "file"
        )
    if files is None:
        sentence = "Files are not kept by a service of several engines: send the picture in the message."
        raise RefusedError(sentence, "unsupported_parameter", "file_id")
    return files.get(caller, picture.file.file_id).data


def _decoded(url: str) -> bytes:
    """What a data: URL, or base64 alone, holds. Raises RefusedError."""
    if _ADDRESS.match(url):
        raise RefusedError(
            "This service fetches nothing from elsewhere: send the picture itself, as a data: URL in base64, "
            "or upload it and send its file_id.",
            "invalid_image_url",
            "url",
        )
    kind, comma, rest = url.partition(",")
    if url[:5].lower() == "data:":
        if not comma or not kind.lower().endswith(";base64"):
            sentence = "The data: URL is not in base64: write it as data:image/png;base64,..."
            raise RefusedError(sentence, "invalid_image_url", "url")
        url = rest
    try:
        return base64.b64decode("".join(url.split()), validate=True)
    except ValueError as error:
        sentence = "The picture's base64 is damaged: encode the whole file once more."
        raise RefusedError(sentence, "invalid_base64", "url") from error
