"""Formatted text as Telegram reads it: HTML to plain text with entities, and the entities it finds by itself.

The rules and the wording of the errors follow `do_parse_html` and `find_entities` of tdlib's
MessageEntity.cpp, which is what the real Bot API server runs. Offsets and lengths are in UTF-16 code units,
as everywhere in the Bot API.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit, urlunsplit

_TAGS = {
    "b": "bold",
    "strong": "bold",
    "i": "italic",
    "em": "italic",
    "u": "underline",
    "ins": "underline",
    "s": "strikethrough",
    "strike": "strikethrough",
    "del": "strikethrough",
    "tg-spoiler": "spoiler",
    "span": "spoiler",
    "code": "code",
    "pre": "pre",
    "blockquote": "blockquote",
    "a": "text_link",
    "tg-emoji": "custom_emoji",
}
# Only these four names are decoded; anything else that starts with & stays as it is written.
_REFERENCE = re.compile(r"&(?:#x([0-9a-fA-F]{1,8})|#([0-9]{1,8})|(lt|gt|amp|quot));?")
_NAMED = {"lt": "<", "gt": ">", "amp": "&", "quot": '"'}
_FOUND = re.compile(
    r"(?P<url>\bhttps?://[^\s<>\"']*[^\s<>\"'.,;:!?()\[\]«»])"
    r"|(?P<bot_command>(?<![\w/@<>])/[a-zA-Z0-9_]{1,64}(?:@[a-zA-Z0-9_]{3,32})?(?![\w/@]))"
    r"|(?P<email>\b[\w.+-]+@[\w-]+\.[a-zA-Z]{2,}\b)"
    r"|(?P<mention>(?<![\w@])@[a-zA-Z][a-zA-Z0-9_]{2,31}\b)"
    r"|(?P<hashtag>(?<![\w#])#\w*[^\W\d]\w*)"
)
# The attribute of a tag that matters, and how its value begins.
_ARGUMENTS = {
    ("a", "href"): "",
    ("tg-emoji", "emoji-id"): "",
    ("code", "class"): "language-",
    ("span", "class"): "tg-",
}
_STYLES = ("bold", "italic", "underline", "strikethrough", "spoiler")
_OPAQUE = ("code", "pre")  # nothing is formatted or found inside of these


class ParseError(ValueError):
    """The text cannot be read as HTML; the message is the one that the Bot API server gives."""


@dataclass(frozen=True, slots=True)
class _Open:
    tag: str
    argument: str
    offset: int  # UTF-16
    position: int  # index into the plain text


def utf16_length(text: str) -> int:
    """The length of `text` in UTF-16 code units."""
    return len(text) + sum(character > "\uffff" for character in text)


def parse_html(source: str) -> tuple[str, list[dict[str, Any]]]:
    """Plain text and entities of Telegram's HTML style.

    Raises:
        ParseError: the markup is one that Telegram refuses; byte offsets are those of the UTF-8 text.
    """
    plain: list[str] = []
    entities: list[dict[str, Any]] = []
    nested: list[_Open] = []
    offset = position = index = 0
    while index < len(source):
        character = source[index]
        if character == "&" and (reference := _REFERENCE.match(source, index)):
            decoded = _decoded(reference)
            if decoded:
                plain.append(decoded)
                offset += utf16_length(decoded)
                position += 1
                index = reference.end()
                continue
        if character != "<":
            plain.append(character)
            offset += utf16_length(character)
            position += 1
            index += 1
            continue
        if source[index + 1 : index + 2] == "/":
            opened, index = _close(source, index, nested)
            covered = "".join(plain[opened.position :])
            if covered and (entity := _entity(opened, offset - opened.offset, covered, entities)):
                entities.append(entity)
        else:
            tag, argument, index = _open(source, index)
            nested.append(_Open(tag, argument, offset, position))
    if nested:
        raise ParseError(f'Can\'t find end tag corresponding to start tag "{nested[-1].tag}"')
    return "".join(plain), entities


def _decoded(reference: re.Match[str]) -> str:
    hexadecimal, decimal, name = reference.groups()
    if name:
        return _NAMED[name]
    code = int(hexadecimal, 16) if hexadecimal else int(decimal)
    if 0xD800 <= code < 0xE000:
        raise ParseError(
            "Text contains invalid Unicode characters after decoding HTML entities, "
            "check for unmatched surrogate code units"
        )
    return chr(code) if 0 < code < 0x110000 else ""


def _byte_offset(source: str, index: int) -> int:
    return len(source[:index].encode("utf-8", "surrogatepass"))


def _skip_spaces(source: str, index: int) -> int:
    while index < len(source) and source[index].isspace():
        index += 1
    return index


def _open(source: str, begin: int) -> tuple[str, str, int]:
    """The name of a start tag, its one argument that matters, and the index behind it."""
    at = f"at byte offset {_byte_offset(source, begin)}"
    index = begin + 1
    while index < len(source) and not source[index].isspace() and source[index] != ">":
        index += 1
    if index >= len(source):
        raise ParseError(f"Unclosed start tag {at}")
    tag = source[begin + 1 : index].lower()
    if tag not in _TAGS:
        raise ParseError(f'Unsupported start tag "{tag}" {at}')
    argument = ""
    while True:
        index = _skip_spaces(source, index)
        if index >= len(source):
            raise ParseError(f'Unclosed start tag "{tag}" {at}')
        if source[index] == ">":
            break
        name_begin = index
        while index < len(source) and not source[index].isspace() and source[index] not in "=>/\"'":
            index += 1
        name = source[name_begin:index]
        if not name:
            raise ParseError(f'Empty attribute name in the tag "{tag}" {at}')
        value, index = _attribute_value(source, _skip_spaces(source, index), tag, at)
        prefix = _ARGUMENTS.get((tag, name))
        if prefix is not None and value.startswith(prefix):
            argument = value.removeprefix(prefix)
        elif (tag, name) == ("blockquote", "expandable"):
            argument = name  # with any value, and with none
    if tag == "span" and argument != "spoiler":
        raise ParseError(f'Tag "span" must have class "tg-spoiler" {at}')
    return tag, argument, index + 1


def _attribute_value(source: str, index: int, tag: str, at: str) -> tuple[str, int]:
    """The value behind an attribute's name (the equal sign included) and the index behind it."""
    if source[index : index + 1] != "=":
        return "", index
    index = _skip_spaces(source, index + 1)
    if index >= len(source):
        raise ParseError(f'Unclosed start tag "{tag}" {at}')
    quote = source[index]
    if quote in "\"'":
        end = source.find(quote, index + 1)
        if end < 0:
            raise ParseError(f"Unclosed start tag {at}")
        value = _REFERENCE.sub(lambda match: _decoded(match) or match.group(), source[index + 1 : end])
        return value, end + 1
    end = index
    while end < len(source) and (source[end].isalnum() or source[end] in ".-"):
        end += 1
    if end >= len(source) or not (source[end].isspace() or source[end] == ">"):
        raise ParseError(f"Unexpected end of name token at byte offset {_byte_offset(source, index)}")
    return source[index:end].lower(), end


def _close(source: str, begin: int, nested: list[_Open]) -> tuple[_Open, int]:
    """The tag that an end tag closes, taken off `nested`, and the index behind the end tag."""
    at = f"at byte offset {_byte_offset(source, begin)}"
    if not nested:
        raise ParseError(f"Unexpected end tag {at}")
    index = begin + 2
    while index < len(source) and not source[index].isspace() and source[index] != ">":
        index += 1
    name = source[begin + 2 : index]
    index = _skip_spaces(source, index)
    if source[index : index + 1] != ">":
        raise ParseError(f"Unclosed end tag {at}")
    opened = nested.pop()
    if name and name != opened.tag:
        raise ParseError(f'Unmatched end tag {at}, expected "</{opened.tag}>", found "</{name}>"')
    return opened, index + 1


def _entity(
    opened: _Open, length: int, covered: str, entities: list[dict[str, Any]]
) -> dict[str, Any] | None:
    kind = _TAGS[opened.tag]
    entity: dict[str, Any] = {"type": kind, "offset": opened.offset, "length": length}
    if kind == "text_link":
        url = opened.argument or covered
        if not re.match(r"(?:https?|tg|ton)://\S|(?:mailto|tel):\S|(?:[\w-]+\.)+\w{2,}", url, re.IGNORECASE):
            return None  # Telegram drops a link it cannot follow and keeps its words
        entity["url"] = _full_link(url)
    elif kind == "custom_emoji":
        entity["custom_emoji_id"] = opened.argument
    elif kind == "blockquote" and opened.argument:
        entity["type"] = "expandable_blockquote"
    elif kind == "code" and opened.argument:
        entity["language"] = opened.argument
    elif kind == "pre" and entities:
        inner = entities[-1]
        # Only a block of code may name its language; without one both marks stay.
        if "language" in inner and (inner["offset"], inner["length"]) == (opened.offset, length):
            entities.pop()
            entity["language"] = inner["language"]
    return entity


def _full_link(url: str) -> str:
    """With a scheme and a path, as Telegram writes links."""
    parts = urlsplit(url if ":" in url else f"http://{url}")
    return urlunsplit(parts._replace(path=parts.path or "/") if parts.scheme.startswith("http") else parts)


def clean(text: str, entities: list[dict[str, Any]]) -> tuple[str, list[dict[str, Any]]]:
    """The text and entities as the server keeps them.

    Space around the text goes (entities shrink with it), styles that touch or overlap become one, nothing
    stays inside of code, links and commands are found, and the order is by offset, the longer first.
    """
    text = text.replace("\r", "")
    kept = text.lstrip()
    cut = utf16_length(text) - utf16_length(kept)
    text = kept.rstrip()
    end = utf16_length(text)
    inside: list[dict[str, Any]] = []
    for entity in entities:
        start = max(0, int(entity["offset"]) - cut)
        stop = min(end, int(entity["offset"]) + int(entity["length"]) - cut)
        # Only a plain `code` span has no language of its own in the Bot API.
        extra = {key: value for key, value in entity.items() if key not in ("offset", "length")}
        if extra["type"] == "code":
            extra.pop("language", None)
        if stop > start:
            inside.append({**extra, "offset": start, "length": stop - start})
    opaque = [entity for entity in inside if entity["type"] in _OPAQUE]
    inside = [
        entity
        for entity in inside
        if entity["type"] in (*_OPAQUE, "blockquote", "expandable_blockquote")
        or not any(_overlap(entity, code) for code in opaque)
    ]
    merged = _merge_styles(inside)
    merged += [
        entity
        for entity in find_entities(text)
        if not any(_overlap(entity, other) for other in merged if other["type"] in (*_OPAQUE, "text_link"))
    ]
    merged.sort(key=lambda entity: (entity["offset"], -entity["length"], entity["type"] == "code"))
    return text, merged


def _overlap(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return bool(
        one["offset"] < other["offset"] + other["length"] and other["offset"] < one["offset"] + one["length"]
    )


def _merge_styles(entities: list[dict[str, Any]]) -> list[dict[str, Any]]:
    others = [entity for entity in entities if entity["type"] not in _STYLES]
    for style in _STYLES:
        spans = sorted(
            (entity["offset"], entity["offset"] + entity["length"])
            for entity in entities
            if entity["type"] == style
        )
        joined: list[tuple[int, int]] = []
        for start, stop in spans:
            if joined and start <= joined[-1][1]:
                joined[-1] = (joined[-1][0], max(stop, joined[-1][1]))
            else:
                joined.append((start, stop))
        others += [{"type": style, "offset": start, "length": stop - start} for start, stop in joined]
    return others


def find_entities(text: str) -> list[dict[str, Any]]:
    """What Telegram marks by itself: links, commands, mentions, hashtags and addresses."""
    found = []
    for match in _FOUND.finditer(text):
        kind = match.lastgroup
        found.append(
            {
                "type": kind,
                "offset": utf16_length(text[: match.start()]),
                "length": utf16_length(match.group()),
            }
        )
    return found
