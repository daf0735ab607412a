"""What a model that talks is asked, whoever runs it, and what is made of what it says.

A conversation is a list of :class:`Message`; the first one shows the picture. Nothing is put into a system
prompt: half of the models' templates have none.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from inference.captioners.chat.cleaning import cleaned
from inference.captioners.chat.judging import is_in
from inference.checkpoints.prompts import Prompts
from inference.common.types import JOKE, Asked, DecodingOptions, EngineError, Turn
from inference.reading.reading import Reading
from inference.reading.summary import kind_of
from inference.russian.places import standing

__all__ = ["Conversation", "Message", "begun", "carried_on"]

_TRIES = 2  # of one question that gets no answer


@dataclass(frozen=True, slots=True)
class Message:
    """What is said by one side. The picture is shown with the first one."""

    role: Literal["user", "assistant"]
    text: str


Conversation = list[Message]


def begun(reading: Reading, asked: Asked | None, options: DecodingOptions, prompts: Prompts) -> Conversation:
    """What a model is told: what was read, then what was said before, then what is ``asked`` now; None: to
    describe the picture as the options want it.
    """
    if asked is None:
        messages = [Message("user", _description(options, prompts))]
    else:
        messages = list(_before(asked.turns, options, prompts))
        messages.append(Message("user", _question(asked.question, options, prompts)))
    messages[0] = Message("user", _joined(_evidence(reading, prompts), messages[0].text))
    return messages


def _before(turns: Sequence[Turn], options: DecodingOptions, prompts: Prompts) -> Iterator[Message]:
    for turn in turns:
        told = _joke(options, prompts) if turn.question == JOKE else turn.question
        yield Message("user", told or _description(options, prompts))
        yield Message("assistant", turn.answer)


def _question(question: str, options: DecodingOptions, prompts: Prompts) -> str:
    if question == JOKE:
        return _joke(options, prompts)
    return prompts.text("question", question=question, language=prompts.language(options.language))


def carried_on(
    messages: Conversation, options: DecodingOptions, prompts: Prompts
) -> Generator[Conversation, str, str]:
    """What comes of a conversation: yields what the model is to be told, is sent what it says, returns that
    without what is beside the matter.

    A model that says nothing is asked once more, one that speaks another language is asked for the right one.
    Raises EngineError where nothing is said.
    """
    said = ""
    for _ in range(_TRIES):
        said = said or cleaned((yield messages))
    if not said:
        raise EngineError(
            "The model said nothing about the picture: choose another one, or, where it thinks before it "
            "speaks and a server runs it, raise OPENAI_MAX_TOKENS."
        )
    if is_in(options.language, said):
        return said
    again = prompts.text("again", language=prompts.language(options.language))
    other = cleaned((yield [*messages, Message("assistant", said), Message("user", again)]))
    return other if is_in(options.language, other) else said


def _description(options: DecodingOptions, prompts: Prompts) -> str:
    return _joined(
        prompts.text("describe", language=prompts.language(options.language)),
        prompts.text(options.detail),
        prompts.text("quoting" if options.quoting else "apart"),
        prompts.text("under", question=options.question) if options.question else "",
    )


def _joke(options: DecodingOptions, prompts: Prompts) -> str:
    return prompts.text("joke", language=prompts.language(options.language))


def _evidence(reading: Reading, prompts: Prompts) -> str:
    """What our reader found: the kind of picture, the words in their places; "" where there are none."""
    lines = []
    for block in reading.listed_blocks:
        if block.text:
            author = f"@{block.author}" if block.author else ""
            lead = ", ".join(filter(None, (standing(block.place), author)))
            lines.append(f"- {lead}: «{block.text}»" if lead else f"- «{block.text}»")
    return prompts.text("words", kind=kind_of(reading), words="\n".join(lines)) if lines else ""


def _joined(*parts: str) -> str:
    return "\n\n".join(filter(None, parts))
