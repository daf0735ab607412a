"""The models ``openai:NAME`` as describers: what they are asked here, they answer elsewhere."""

from __future__ import annotations

import math
from collections.abc import Sequence
from concurrent.futures import Future
from typing import Final, Self

from PIL import Image

from inference.captioners.chat.conversation import answering, carried_on, describing
from inference.captioners.chat.server import Server, the_server
from inference.checkpoints.names import ServedModel
from inference.checkpoints.prompts import Prompts
from inference.checkpoints.served import ServerSettings
from inference.common.types import DecodingOptions, Turn
from inference.reading.reading import Reading

__all__ = ["ServedDescriber"]


class ServedDescriber:
    """A describer, and a talker, as :class:`~inference.captioners.captioner.Captioner` wants it."""

    talks = True
    likelihood: Final = math.log(0.75)  # of a token, which nobody tells

    def __init__(self, model: ServedModel, server: Server, prompts: Prompts) -> None:
        self._model = model
        self._server = server
        self._prompts = prompts
        self.options = DecodingOptions("own", max_tokens=server.settings.max_tokens)

    @classmethod
    def load(cls, model: ServedModel) -> Self:
        """By the settings there are. Raises EngineError where they are wrong."""
        return cls(model, the_server(ServerSettings.of()), Prompts.of())

    def describe(
        self, images: Sequence[Image.Image], readings: Sequence[Reading], options: DecodingOptions
    ) -> tuple[list[str], list[float]]:
        """One description a picture, and the mean log-probability of its tokens."""
        begun = [self.begin(image, reading, options) for image, reading in zip(images, readings, strict=True)]
        return [one.result() for one in begun], [self.likelihood] * len(begun)

    def answer(
        self,
        image: Image.Image,
        reading: Reading,
        question: str,
        turns: Sequence[Turn],
        options: DecodingOptions,
    ) -> str:
        """What is said to a question about a picture."""
        return self.begin_answer(image, reading, question, turns, options).result()

    def begin(self, image: Image.Image, reading: Reading, options: DecodingOptions) -> Future[str]:
        """A description that will be there later; see :meth:`.server.Server.carry_on`."""
        messages = describing(reading, options, self._prompts)
        talk = carried_on(messages, options, self._prompts)
        return self._server.carry_on(self._model, image, options, talk)

    def begin_answer(
        self,
        image: Image.Image,
        reading: Reading,
        question: str,
        turns: Sequence[Turn],
        options: DecodingOptions,
    ) -> Future[str]:
        """An answer that will be there later."""
        messages = answering(reading, question, turns, options, self._prompts)
        talk = carried_on(messages, options, self._prompts)
        return self._server.carry_on(self._model, image, options, talk)
