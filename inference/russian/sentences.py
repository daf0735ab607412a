"""Words put together as Russian puts them."""

from __future__ import annotations

from collections.abc import Iterable


def joined(words: Iterable[str]) -> str:
    """As in: а; а и б; а, б и в. "" of none."""
    *first, last = list(words) or [""]
    return f"{', '.join(first)} и {last}" if first else last
