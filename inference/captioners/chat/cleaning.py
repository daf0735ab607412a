"""What a model says, without what is beside the matter: thinking, marks of its format, markup, courtesies."""

from __future__ import annotations

import re

from inference.russian.lists import LISTS

__all__ = ["cleaned"]

_THOUGHTS = (
    re.compile(r"<(think|thinking|thought|reasoning)>.*?</\1>", re.DOTALL | re.IGNORECASE),
    # Begun by the model's template.
    re.compile(r"^.*</(?:think|thinking|thought|reasoning)>", re.DOTALL | re.IGNORECASE),
    # Cut off while it thought.
    re.compile(r"<(?:think|thinking|thought|reasoning)>.*$", re.DOTALL | re.IGNORECASE),
)
_TOKENS = re.compile(r"<\|[^<>|]*\|>|</?s>|<(?:start|end)_of_turn>|\[/?INST\]")  # of a chat's format
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]")  # no store takes them
_MARKUP = (
    (re.compile(r"^\s*(?:```|~~~)\w*\s*$", re.MULTILINE), ""),  # fences
    (re.compile(r"^\s*(?:[-*_]\s*){3,}$", re.MULTILINE), ""),  # rules
    (re.compile(r"^\s*(?:#{1,6}|>|[-*+•])\s+", re.MULTILINE), ""),  # headings, quotations, items of lists
    (re.compile(r"!?\[([^\]]*)\]\([^)]*\)"), r"\1"),  # links
    (re.compile(r"(\*\*|__|\*|`)(?=\S)(.+?)(?<=\S)\1"), r"\2"),  # bold, slanted, code
    (re.compile(r"</?(?:p|br|b|i|em|strong|ul|ol|li|div|span|h[1-6])\b[^>]*>", re.IGNORECASE), " "),
)
_FIRST_SENTENCE = re.compile(r"\s*([^.!?:\n]{1,40})[.!,]\s*")
_HERALD = re.compile(r"\s*([^:\n«\"“„]{1,120}):\s*")
# A whole answer between quotation marks; one without a full stop may be what stands on the picture.
_ENCLOSED = re.compile(r"\A(?:\"([^\"]*\.)\"|«([^«»]*\.)»|“([^“”]*\.)”)\Z")


def cleaned(text: str) -> str:
    """One paragraph a line, plain text; "" where nothing of the matter is said."""
    for thoughts in _THOUGHTS:
        text = thoughts.sub("", text)
    text = _CONTROLS.sub("", _TOKENS.sub("", text))
    for mark, instead in _MARKUP:
        text = mark.sub(instead, text)
    paragraphs = [" ".join(line.split()) for line in _without_preamble(text).splitlines()]
    paragraphs = [line for line in paragraphs if line]
    while len(paragraphs) > 1 and paragraphs[-1].casefold().startswith(tuple(LISTS.chat.farewells)):
        del paragraphs[-1]
    text = "\n".join(paragraphs)
    enclosed = _ENCLOSED.match(text)
    return enclosed[enclosed.lastindex or 0].strip() if enclosed else text


def _without_preamble(text: str) -> str:
    """Without "Sure!" and "Here is the description:"."""
    while True:
        first, herald = _FIRST_SENTENCE.match(text), _HERALD.match(text)
        if first and first[1].strip().casefold() in LISTS.chat.courtesies:
            text = text[first.end() :]
        elif herald and set(re.findall(r"\w+", herald[1].casefold())) & set(LISTS.chat.heralds):
            text = text[herald.end() :]
        else:
            return text
