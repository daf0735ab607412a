"""The server that runs the models ``openai:NAME``, through the official client.

Whoever asks is in any thread; what is asked is asked in one loop in a thread of its own, as many at once as
OPENAI_CONCURRENCY says. So one picture after the other is read here while several are looked at there.
"""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import threading
from collections.abc import Coroutine, Generator, Iterator, Sequence
from concurrent.futures import Future
from functools import lru_cache
from io import BytesIO
from typing import Any, Final, TypeVar

import openai
from PIL import Image

from inference.captioners.chat.conversation import Conversation, Message
from inference.checkpoints.names import ServedModel
from inference.checkpoints.served import ServerSettings, sentences
from inference.common.types import DecodingOptions, PictureTimeout

__all__ = ["Server", "the_server"]

_RETRIES: Final = 3  # of the client, which waits for as long as the server says
_QUALITY: Final = 90  # of the JPEG that is sent
_DATA: Final = "data:"  # before each piece of an answer that comes in pieces
_END: Final = "[DONE]"

_Said = TypeVar("_Said")

logging.getLogger("httpx2").setLevel(logging.WARNING)  # it tells every request; the client only its retries


class Server:
    """Answers conversations about pictures. May be used from any thread."""

    def __init__(self, settings: ServerSettings) -> None:
        self.settings = settings
        self._client = openai.AsyncOpenAI(
            base_url=settings.base_url,
            api_key=settings.key,
            timeout=settings.timeout,
            max_retries=_RETRIES,
        )
        self._turn = asyncio.Semaphore(settings.concurrency)
        self._dialect = 0  # the first of _dialects that the server has not refused
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="openai", daemon=True)
        self._thread.start()

    def carry_on(
        self,
        model: ServedModel,
        image: Image.Image,
        options: DecodingOptions,
        talk: Generator[Conversation, str, str],
    ) -> Future[str]:
        """What comes of a conversation (see :func:`.conversation.carried_on`) about an upright RGB picture.

        It begins when the server has room for it. Raises, through the future, ModelNotLoaded, EngineBusy,
        PictureTimeout, EngineError.
        """
        return self._begin(self._carry_on(model, self._picture(image), options, talk))

    def close(self) -> None:
        """End what is under way."""
        self._begin(self._end()).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _begin(self, work: Coroutine[Any, Any, _Said]) -> Future[_Said]:
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    async def _end(self) -> None:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await self._client.close()

    async def _carry_on(
        self,
        model: ServedModel,
        picture: str,
        options: DecodingOptions,
        talk: Generator[Conversation, str, str],
    ) -> str:
        async with self._turn:
            try:
                async with asyncio.timeout(self.settings.timeout):
                    messages = next(talk)
                    while True:
                        said = await self._complete(model, picture, options, messages)
                        try:
                            messages = talk.send(said)
                        except StopIteration as end:
                            return str(end.value)
            except TimeoutError:
                raise PictureTimeout(
                    f"The model {model.name} did not answer within {self.settings.timeout:g} seconds: "
                    "send the picture again later, or raise OPENAI_TIMEOUT."
                ) from None

    async def _complete(
        self, model: ServedModel, picture: str, options: DecodingOptions, messages: Conversation
    ) -> str:
        """What the model says next, as it is; "" where that is nothing."""
        dialects = _dialects(options, self.settings)
        told: dict[str, Any] = {"model": model.served, "messages": list(_told(messages, picture))}
        told["extra_body"] = self.settings.extra
        create: Any = self._client.chat.completions.with_raw_response.create
        with sentences(self.settings, model):
            for number in range(self._dialect, len(dialects)):
                try:
                    answer = await create(**told, **dialects[number])
                except (openai.BadRequestError, openai.UnprocessableEntityError):
                    # A field that it does not know? Then what follows names fewer.
                    if number == len(dialects) - 1:
                        raise
                else:
                    self._dialect = number
                    return _text(answer.text)
        raise AssertionError("the last request was refused, and nothing was raised")

    def _picture(self, image: Image.Image) -> str:
        """An address that holds the picture."""
        most = self.settings.picture_size
        if max(image.size) > most:
            image = image.copy()
            image.thumbnail((most, most), Image.Resampling.LANCZOS)
        data = BytesIO()
        image.save(data, "JPEG", quality=_QUALITY)
        return f"data:image/jpeg;base64,{base64.b64encode(data.getvalue()).decode()}"


@lru_cache(maxsize=2)
def the_server(settings: ServerSettings) -> Server:
    """The one of these settings: all its models share its limit."""
    return Server(settings)


def _dialects(options: DecodingOptions, settings: ServerSettings) -> Sequence[dict[str, Any]]:
    """What a request says besides, fullest first: some servers refuse what they do not know."""
    search: dict[str, Any] = {}
    if options.strategy == "sample":
        search = {"temperature": options.temperature, "top_p": options.top_p}
        if options.seed is not None:
            search["seed"] = options.seed % 2**63  # a signed number, to most
    elif options.strategy == "greedy":
        search = {"temperature": 0.0}
    most = min(options.max_tokens, settings.max_tokens)
    return (
        {"max_tokens": most, **search},
        {"max_completion_tokens": most, **search},
        {"max_tokens": most},
        {},
    )


def _told(messages: Sequence[Message], picture: str) -> Iterator[dict[str, Any]]:
    for number, message in enumerate(messages):
        if number:
            yield {"role": message.role, "content": message.text}
        else:
            shown = {"type": "image_url", "image_url": {"url": picture}}
            yield {"role": message.role, "content": [shown, {"type": "text", "text": message.text}]}


def _text(body: str) -> str:
    """What is said in an answer, in one piece or, as some servers send it unasked, in many."""
    # Not splitlines: JSON may hold other ends of lines as they are.
    pieces = [line.removeprefix(_DATA).strip() for line in body.split("\n") if line.startswith(_DATA)]
    said = ""
    for piece in pieces or [body]:
        if piece == _END:
            break
        try:
            answer = json.loads(piece)
            if "error" in answer:
                raise openai.OpenAIError(answer["error"])
            for choice in answer["choices"][:1]:
                said += _content((choice.get("message") or choice.get("delta") or {}).get("content"))
        except (ValueError, KeyError, TypeError, AttributeError):
            raise openai.OpenAIError("it does not answer as OpenAI's protocol says") from None
    return said


def _content(content: Any) -> str:
    """Of a message: a text, or parts of which some are texts."""
    if isinstance(content, list):
        return "".join(str(part.get("text") or "") for part in content)
    return str(content or "")
