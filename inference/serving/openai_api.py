"""OpenAI's protocol, so that programs which speak it can have pictures described by the models here.

* ``GET /v1/models``, ``GET /v1/models/NAME``: those that are ready.
* ``POST /v1/chat/completions``: :mod:`.chat_request` says what may be asked. The answer is the doubt, where
  there is one, the description, the words that it did not quote, and what else must be known. A model that
  talks answers the first text within its description, and later ones as questions. With ``stream`` it comes
  in Server-Sent Events, a word each. The models here write a description as a whole, so all of them come at
  once, and whatever goes wrong is told by the status.
* ``POST /v1/files``, ``GET /v1/files``, ``GET`` and ``DELETE /v1/files/ID``: :mod:`.uploads`.

A token of ``usage`` and of ``max_completion_tokens`` is a word; the picture counts as none.
"""

from __future__ import annotations

import asyncio
import re
import secrets
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from http import HTTPStatus
from typing import Any

from inference.checkpoints.models import model_info
from inference.checkpoints.names import ModelName
from inference.common.quoting import unquoted
from inference.common.types import QUESTION_LENGTH, Answer, Caption, DecodingOptions, Detail
from inference.russian.lists import LISTS
from inference.serving.chat_request import ChatRequest, Conversation
from inference.serving.engine import Engine
from inference.serving.exchange import Reply, Request, dumps
from inference.serving.openai_errors import RefusedError
from inference.serving.uploads import Files, Sent

_TOKEN = re.compile(r"\S+\s*")
_OF_ANSWERS = frozenset({"own_reading", "other_language"})  # the notes that are not of the picture


class OpenAIApi:
    """The answers of one engine. ``files``: None where an upload might be asked of another engine."""

    def __init__(self, engine: Engine, files: Files | None) -> None:
        self._engine = engine
        self._files = files
        self._since = int(time.time())  # since when its models are offered

    async def answer(
        self, method: str, path: str, request: Request, body: Callable[[], Awaitable[bytes]], caller: bytes
    ) -> Reply:
        """To a request by ``caller``; ``path``: behind ``/v1``. Raises what Engine.caption raises."""
        try:
            match method, path.split("/")[1:]:
                case "POST", ["chat", "completions"]:
                    asked = await asyncio.to_thread(ChatRequest.read, await body())
                    return await self._complete(asked, caller)
                case "GET", ["models"]:
                    models = await asyncio.to_thread(self._engine.models)
                    return _list([self._model(model.name) for model in models])
                case "GET", ["models", *parts]:
                    name = "/".join(parts)  # of a model of the hub
                    await asyncio.to_thread(self._engine.version, name)  # raises UnknownModel
                    return Reply.of(HTTPStatus.OK, self._model(name))
                case _, ["files", *names]:
                    return await self._file(method, names, request, body, caller)
        except RefusedError as error:
            return error.reply()
        return _nothing_here(method, path)

    async def _file(
        self,
        method: str,
        names: Sequence[str],
        request: Request,
        body: Callable[[], Awaitable[bytes]],
        caller: bytes,
    ) -> Reply:
        if self._files is None:
            sentence = "This service keeps no files: send the picture in the message, as a data: URL."
            raise RefusedError(sentence, "not_supported")
        match method, names:
            case "POST", []:
                sent = await asyncio.to_thread(
                    Sent.read, request.headers.get("Content-Type", ""), await body()
                )
                return Reply.of(HTTPStatus.OK, self._files.add(caller, sent).to_dict())
            case "GET", []:
                return _list([upload.to_dict() for upload in self._files.of(caller)], has_more=False)
            case "GET", [file_id]:
                return Reply.of(HTTPStatus.OK, self._files.get(caller, file_id).to_dict())
            case "DELETE", [file_id]:
                self._files.remove(caller, file_id)
                return Reply.of(HTTPStatus.OK, {"id": file_id, "object": "file", "deleted": True})
        return _nothing_here(method, "/".join(("/files", *names)))

    async def _complete(self, asked: ChatRequest, caller: bytes) -> Reply:
        conversation = asked.conversation()
        picture = conversation.file(self._files, caller)
        model = asked.model or self._engine.settings.model
        answer = await self._say(conversation, picture, model, asked.detail(conversation.question))
        tokens = _TOKEN.findall(said(answer))
        told = tokens[: asked.most_words]
        finish = "length" if len(told) < len(tokens) else "stop"
        usage = {
            "prompt_tokens": asked.words,
            "completion_tokens": len(told),
            "total_tokens": asked.words + len(told),
        }
        about = {
            "id": f"chatcmpl-{secrets.token_hex(12)}",
            "created": int(time.time()),
            "model": answer.model,
            # What makes it, besides the conversation.
            "system_fingerprint": f"fp_{answer.checkpoint[:12]}_{answer.program[:12]}",
        }
        if asked.stream:
            counted = asked.stream_options is not None and bool(asked.stream_options.include_usage)
            events = _events(about, told, finish, usage if counted else None)
            return Reply(
                HTTPStatus.OK,
                "".join(f"data: {event}\n\n" for event in events).encode(),
                {"Content-Type": "text/event-stream; charset=utf-8", "Cache-Control": "no-cache"},
            )
        message = {"role": "assistant", "content": "".join(told).rstrip(), "refusal": None}
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": finish}
        return Reply.of(
            HTTPStatus.OK, {**about, "object": "chat.completion", "choices": [choice], "usage": usage}
        )

    async def _say(
        self, conversation: Conversation, picture: bytes, model: str, detail: Detail
    ) -> Caption | Answer:
        """What the model says: to a question about the picture, where it talks, else its description."""
        await asyncio.to_thread(self._engine.version, model)  # raises UnknownModel
        name = ModelName.parse(model)
        about = await asyncio.to_thread(model_info, self._engine.settings.models_dir, name)
        question = conversation.question if about.talks else ""
        if len(question) > QUESTION_LENGTH:
            sentence = f"A question may have {QUESTION_LENGTH} characters: ask a shorter one."
            raise RefusedError(sentence, "string_above_max_length", "messages")
        turns = conversation.turns if question else ()
        # The first question is answered within the description.
        options = DecodingOptions.telling(
            detail=detail, quoting=True, language="ru", question="" if turns else question
        )
        if turns:
            return await self._engine.ask(picture, question, turns=turns, options=options, model=model)
        return await self._engine.caption(picture, options=options, model=model)

    def _model(self, name: str) -> dict[str, Any]:
        return {"id": name, "object": "model", "created": self._since, "owned_by": "meme-describer"}


def said(answer: Caption | Answer) -> str:
    """What whoever listens should hear: the doubt first, nothing twice."""
    listed = LISTS.answers
    paragraphs = [listed.doubt] if "low_confidence" in answer.notes else []
    if isinstance(answer, Answer):  # what must be known of the picture came with its description
        notes = [note for note in answer.notes if note in _OF_ANSWERS]
        paragraphs.append(answer.text.strip())
    else:
        notes = list(answer.notes)
        description = answer.text.strip() or answer.summary.strip()
        words = [block.strip() for block in answer.words if block.strip()]
        unsaid = unquoted(description, words)
        paragraphs.append(description)
        if unsaid:
            paragraphs.append("\n".join([listed.words if unsaid == words else listed.other_words, *unsaid]))
    paragraphs += [listed.notes[note] for note in notes if note in listed.notes]
    return "\n\n".join(paragraphs)


def _events(
    about: dict[str, Any], tokens: Sequence[str], finish: str, usage: dict[str, int] | None
) -> Iterator[str]:
    """The data of each event; ``usage``: where it was asked for, of which all events then say something."""

    def event(choices: list[dict[str, Any]], used: dict[str, int] | None = None) -> str:
        counted = {} if usage is None else {"usage": used}
        return dumps({**about, "object": "chat.completion.chunk", "choices": choices, **counted})

    def delta(said: dict[str, str], reason: str | None = None) -> str:
        return event([{"index": 0, "delta": said, "logprobs": None, "finish_reason": reason}])

    yield delta({"role": "assistant", "content": ""})
    for place, token in enumerate(tokens, start=1):
        yield delta({"content": token if place < len(tokens) else token.rstrip()})
    yield delta({}, finish)
    if usage is not None:
        yield event([], usage)
    yield "[DONE]"


def _list(things: list[dict[str, Any]], **more: Any) -> Reply:
    return Reply.of(HTTPStatus.OK, {"object": "list", "data": things, **more})


def _nothing_here(method: str, path: str) -> Reply:
    sentence = (
        f"{method} /v1{path} is not served: POST to /v1/chat/completions or /v1/files, or GET /v1/models."
    )
    return RefusedError(sentence, "unknown_url", status=HTTPStatus.NOT_FOUND).reply()
