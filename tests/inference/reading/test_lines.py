"""Lines to blocks and posts."""

from __future__ import annotations

from inference.common.places import Region
from inference.reading.lines import TextLine, blocks_of, posts_of

STACK = [(0.0, 0.0, 1.0, 0.5), (0.0, 0.5, 1.0, 1.0)]


def line(text: str, top: float, block: int, author: str = "") -> TextLine:
    return TextLine(text, (0.1, top, 0.9, top + 0.1), 0.9, block, author)


def test_a_block_is_its_lines_with_their_hull_and_its_place() -> None:
    first, second = blocks_of([line("КОГДА", 0.1, 0), line("СПИШЬ", 0.2, 0), line("дома", 0.7, 1)], STACK)
    assert first.text == "КОГДА СПИШЬ"
    assert first.box == (0.1, 0.1, 0.9, 0.2 + 0.1)
    assert [(one.place.region, one.place.frame) for one in (first, second)] == [
        (Region.FRAME, 0),
        (Region.FRAME, 1),
    ]
    assert blocks_of([], STACK) == ()


def test_what_has_nothing_to_quote_is_no_text() -> None:
    only, specks = blocks_of([line("«Кот»", 0.1, 0), line("|_", 0.2, 0), line("<", 0.7, 1)], STACK)
    assert only.text == "Кот"
    assert specks.text == ""


def test_a_block_knows_whose_post_begins_in_it() -> None:
    own, other = blocks_of([line("да", 0.1, 0), line("нет", 0.2, 0, "kot"), line("ой", 0.7, 1)], STACK)
    assert (own.author, other.author) == ("kot", "")


def test_a_post_goes_on_to_the_next_one() -> None:
    lines = [line("сверху", 0, 0), line("да", 0.1, 1, "kot"), line("да", 0.2, 1), line("нет", 0.7, 2, "pes")]
    assert [(post.author, [one.text for one in post.lines]) for post in posts_of(lines)] == [
        ("kot", ["да", "да"]),
        ("pes", ["нет"]),
    ]
    assert posts_of(lines[:1]) == ()
