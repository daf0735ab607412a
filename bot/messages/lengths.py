"""How much fits into a message, and cutting what does not."""

from __future__ import annotations

import re

# Telegram's limit is 4096 after entities are parsed. The difference is room for the line with the marks, so
# that pressing a button never moves text from one message to another.
MESSAGE_LIMIT = 3900


def length(text: str) -> int:
    """Telegram's measure of a text: UTF-16 code units."""
    return len(text.encode("utf-16-le")) // 2


def wrap(text: str, limit: int = MESSAGE_LIMIT) -> list[str]:
    """Pieces of at most ``limit`` (>= 2) UTF-16 units, cut after a line, a sentence or a word where possible.

    Nothing but the white space at the cuts is lost.
    """
    pieces = []
    while length(text) > limit:
        head = _head(text, limit)
        cut = max(head.rfind("\n"), 0)
        # A cut in the first half would leave half-empty messages: the next weaker boundary is better then.
        for boundary in (r"[.!?…](?=\s)", r"\S(?=\s)"):
            if cut >= len(head) // 2:
                break
            cut = max((match.end() for match in re.finditer(boundary, head)), default=cut)
        cut = cut or len(head)
        pieces.append(text[:cut].rstrip())
        text = text[cut:].lstrip()
    return [piece for piece in (*pieces, text) if piece]


def shortened(text: str, limit: int) -> str:
    """At most ``limit`` (>= 2) UTF-16 units of a text, with an ellipsis behind them where more followed."""
    pieces = wrap(text, limit)
    return pieces[0] + ("…" if len(pieces) > 1 else "") if pieces else ""


def _head(text: str, limit: int) -> str:
    # Cutting the encoded form could split a surrogate pair: "ignore" drops the half.
    return text.encode("utf-16-le")[: limit * 2].decode("utf-16-le", errors="ignore")
