"""The models ``openai:NAME`` as describers: what they are asked here, they answer elsewhere."""

from __future__ import annotations

import math
from collections.abc import Sequence
from concurrent.futures import Future
from typing import Final, Self

from PIL import Image

from inference.captioners.chat.conversation import begun, carried_on
from inference.captioners.chat.server import Server, the_server
from inference.checkpoints.names import ServedModel
from inference.checkpoints.prompts import Prompts
from inference.checkpoints.served import ServerSettings
from inference.common.types import Asked, DecodingOptions
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
        pairs = zip(images, readings, strict=True)
        said = [self.begin(image, reading, None, options) for image, reading in pairs]
        return [one.result() for one in said], [self.likelihood] * len(said)

    def answer(self, image: Image.Image, reading: Reading, asked: Asked, options: DecodingOptions) -> str:
        """What is said to a question about a picture."""
        return self.begin(image, reading, asked, options).result()

    def begin(
        self, image: Image.Image, reading: Reading, asked: Asked | None, options: DecodingOptions
    ) -> Future[str]:
        """An answer, or where nothing is asked a description, that will be there later; see
        :meth:`.server.Server.carry_on`.
        """
        messages = begun(reading, asked, options, self._prompts)
        talk = carried_on(messages, options, self._prompts)
        return self._server.carry_on(self._model, image, options, talk)
