"""Lines to blocks in reading order: what stands together is read together."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, groupby
from statistics import median

from inference.reading.geometry import Box, hull, shared_span, turned
from inference.reading.lines import ReadLine, TextLine
from inference.reading.places import where
from inference.russian.lexicon import bare, is_known

_SAME_ROW = 0.5  # vertical overlap, as a share of the lower line, above which two pieces stand on one row
_LEADING = 1.1  # vertical gap between lines of one block, in letter heights
_HEIGHT_RATIO = 1.9  # letters of one block differ less than this
_ASKEW = 0.03  # slope from which lines are not level
_MOST = 0.7  # share of the print, by length, that has a page's slope
_CELL = 30  # characters of a table's cell, at most
_NUMBER = re.compile(r"[\W_]*\d[\d\W_]*(?:\s?[^\W\d_]{1,4}\W*)?")  # "57", "2:0", "-45", "89,90 р", "8 ч"
_DIVIDED = re.compile(r"(\S*[^\W\d_])[-‐\u00ad]$")  # at the end of a line; a dash has a space before it


@dataclass(frozen=True, slots=True)
class _Group:
    box: Box
    lines: tuple[ReadLine, ...]


def is_number(text: str) -> bool:
    """Whether a text is a number, perhaps with its unit, as in a table's cell."""
    return bool(_NUMBER.fullmatch(text))


def arrange(lines: Sequence[ReadLine], size: tuple[int, int]) -> list[TextLine]:
    """Lines in reading order with their block numbers; boxes as fractions of the picture of ``size``
    (width, height).
    """
    if not lines:
        return []
    slope = _slope(lines)
    width, height = size
    level = [_straightened(line, slope) for line in lines]
    groups = _blocks(_join_rows([line for line in level if not line.inverted]))
    # Lines that stand upside down follow one another upwards: they are put together as they are read.
    inverted = [replace(line, box=turned(line.box, size)) for line in level if line.inverted]
    for group in _blocks(_join_rows(inverted)):
        back = tuple(replace(line, box=turned(line.box, size)) for line in group.lines)
        groups.append(_Group(turned(group.box, size), back))
    groups = _read_along(_ordered(groups))
    found = []
    for number, group in enumerate(groups):
        for line in _undivided(group.lines):
            left, top, right, bottom = line.box
            top += min(slope * left, slope * right)
            bottom += max(slope * left, slope * right)
            box = (left / width, top / height, right / width, bottom / height)
            found.append(TextLine(line.text, box, line.confidence, number, line.author))
    return found


def in_rows(lines: Sequence[ReadLine], frames: Sequence[Box], size: tuple[int, int]) -> list[ReadLine]:
    """Lines of which the cells of a table's row are one: "Анна 57", "3 1", the keys of a keyboard.

    Columns of words are no table: in a row stand numbers, or letters by themselves. ``frames`` are
    fractions of the picture of ``size``: a row does not go beyond one.
    """
    width, height = size
    scale = (width, height, width, height)
    rows: list[list[ReadLine]] = []
    numbers: list[int] = []  # of the rows' frames
    for line in sorted(lines, key=lambda item: item.box[0]):
        left, top, right, bottom = (edge / side for edge, side in zip(line.box, scale, strict=True))
        frame = where((left, top, right, bottom), frames).turn if len(frames) > 1 else 0
        for row, number in zip(rows, numbers, strict=True):
            alike = row[0].inverted == line.inverted
            if number == frame and alike and all(_side_by_side(line, cell) for cell in row):
                row.append(line)
                break
        else:
            rows.append([line])
            numbers.append(frame)
    wide = [row for row in rows if len(row) > 1 and all(len(cell.text) <= _CELL for cell in row)]
    whole = [row for row in wide if _says_little(row)]
    mixed = [row for row in wide if row not in whole and any(is_number(cell.text) for cell in row)]
    table = [*whole, *mixed] if len(whole) + len(mixed) > 1 else whole
    heads = [row for row in wide if row not in table and any(_stands_over(row, other) for other in table)]
    joined = [*table, *heads]
    return [_joined(row) for row in joined] + [line for row in rows if row not in joined for line in row]


def _says_little(row: Sequence[ReadLine]) -> bool:
    """Whether a row is one of numbers, or of letters by themselves."""
    letters = sum(len(cell.text) == 1 and cell.text.isalpha() for cell in row)
    others = (cell.text for cell in row if len(cell.text) > 1 or not cell.text.isalpha())
    return letters not in {1, 2} and all(map(is_number, others))


def _side_by_side(one: ReadLine, other: ReadLine) -> bool:
    alike = max(one.height, other.height) < 1.5 * min(one.height, other.height)
    return alike and shared_span(one.box[1], one.box[3], other.box[1], other.box[3]) > _SAME_ROW


def _stands_over(head: Sequence[ReadLine], row: Sequence[ReadLine]) -> bool:
    """Whether a row holds the names of another's columns."""
    over = head[0].box[3] <= row[0].box[1] + row[0].height / 2
    return over and all(
        any(shared_span(name.box[0], name.box[2], cell.box[0], cell.box[2]) > 0 for cell in row)
        for name in head
    )


def _joined(row: Sequence[ReadLine]) -> ReadLine:
    """A row's cells as one line."""
    whole = row[0]
    for cell in row[1:]:
        author = whole.author or cell.author
        whole = replace(
            whole, text=f"{whole.text} {cell.text}", box=hull((whole.box, cell.box)), author=author
        )
    return replace(whole, confidence=min(cell.confidence for cell in row), slope=None, row=True)


def by_frames(lines: Sequence[TextLine], frames: Sequence[Box]) -> tuple[TextLine, ...]:
    """Lines in reading order with their places, frame by frame; no block reaches into another frame.

    ``lines`` as :func:`arrange` gives them, ``frames`` in reading order, as fractions of the picture.
    """
    placed = [replace(line, place=where(line.box, frames)) for line in lines]
    if len(frames) < 2:
        return tuple(placed)
    placed.sort(key=lambda line: (line.place.turn, line.block))
    numbers: dict[tuple[int, int], int] = {}
    return tuple(
        replace(line, block=numbers.setdefault((line.place.turn, line.block), len(numbers)))
        for line in placed
    )


def _undivided(lines: Sequence[ReadLine]) -> list[ReadLine]:
    """The lines of a block with each word that goes on in the next line whole in the one where it begins."""
    whole: list[ReadLine] = []
    for line in lines:
        begun = _DIVIDED.search(whole[-1].text) if whole else None
        end, _, rest = line.text.partition(" ")
        if not begun or line.author or not end[:1].isalpha() or begun[1][-1].isupper() != end[0].isupper():
            whole.append(line)
            continue
        # A word of two parts keeps the hyphen that it has anyway: "во-первых".
        hyphen = "" if is_known(bare(begun[1] + end)) else "-"
        whole[-1] = replace(whole[-1], text=f"{whole[-1].text[:-1]}{hyphen}{end}")
        if rest:
            whole.append(replace(line, text=rest))
        else:
            whole[-1] = replace(whole[-1], box=hull((whole[-1].box, line.box)))
    return whole


def _slope(lines: Sequence[ReadLine]) -> float:
    """Of a page that was photographed askew: pixels that its lines sink for each to the right; else 0."""
    known = sorted((line.slope, line.box[2] - line.box[0]) for line in lines if line.slope is not None)
    passed = list(accumulate(length for _, length in known))
    total = passed[-1] if passed else 0.0
    # The median, each line counted by its length.
    middle = next((own for (own, _), sofar in zip(known, passed, strict=True) if sofar >= total / 2), 0.0)
    alike = [length for slope, length in known if abs(slope - middle) < _ASKEW]
    askew = abs(middle) >= _ASKEW and len(alike) > 1 and sum(alike) > _MOST * total
    return middle if askew else 0.0


def _straightened(line: ReadLine, slope: float) -> ReadLine:
    if not slope:
        return line
    left, top, right, bottom = line.box
    half = max(bottom - top - abs(slope) * (right - left), line.height / 2) / 2
    middle = (top + bottom) / 2 - slope * (left + right) / 2
    return replace(line, box=(left, middle - half, right, middle + half), height=min(line.height, 2 * half))


def _join_rows(lines: Sequence[ReadLine]) -> list[ReadLine]:
    """Pieces of one printed line that different passes found are one line again."""
    joined: list[ReadLine] = []
    for line in sorted(lines, key=lambda item: item.box[0]):
        for place, before in enumerate(joined):
            same_row = shared_span(before.box[1], before.box[3], line.box[1], line.box[3]) > _SAME_ROW
            alike = max(before.height, line.height) < 1.5 * min(before.height, line.height)
            gap = line.box[0] - before.box[2]
            if same_row and alike and -line.height < gap < 0.9 * max(line.height, before.height):
                joined[place] = replace(
                    before,
                    text=f"{before.text} {line.text}",
                    box=hull((before.box, line.box)),
                    confidence=min(before.confidence, line.confidence),
                    author=before.author or line.author,
                )
                break
        else:
            joined.append(line)
    return joined


def _blocks(lines: Sequence[ReadLine]) -> list[_Group]:
    """Lines under one another, of like size, with little space between, are one block."""
    blocks: list[list[ReadLine]] = []
    for line in sorted(lines, key=lambda item: item.box[1]):
        best: list[ReadLine] | None = None
        for block in blocks:
            last = block[-1]
            # Of all its lines: one without ascenders ("на нос") must not break the block.
            height = median([*(other.height for other in block), line.height])
            gap = line.box[1] - last.box[3]
            close = -0.6 * height < gap < _LEADING * height and not (line.row or last.row)
            alike = max(height, line.height) < _HEIGHT_RATIO * min(height, line.height)
            if close and alike and shared_span(last.box[0], last.box[2], line.box[0], line.box[2]) > 0.25:
                best = block
        if best is None:
            blocks.append([line])
        else:
            best.append(line)
    groups = []
    for block in blocks:
        groups.append(_Group(hull(line.box for line in block), tuple(block)))
    return groups


def _ordered(groups: list[_Group]) -> list[_Group]:
    """Reading order by recursive cuts (XY-cut, Nagy & Seth 1984): bands from the top, columns from the
    left.
    """
    if len(groups) <= 1:
        return groups
    for low, high in ((1, 3), (0, 2)):
        parts = _cut(groups, low, high)
        if len(parts) > 1:
            return [group for part in parts for group in _ordered(part)]
    return sorted(groups, key=lambda group: (group.box[1] + group.box[3], group.box[0]))


def _read_along(groups: Sequence[_Group]) -> list[_Group]:
    """Groups from above, those that stand upside down one after the other from below."""
    found: list[_Group] = []
    for inverted, run in groupby(groups, key=lambda group: group.lines[0].inverted):
        together = list(run)
        found += together[::-1] if inverted else together
    return found


def _cut(groups: Sequence[_Group], low: int, high: int) -> list[list[_Group]]:
    """Split where no group stands; a hair of overlap (letters with tails) still counts as a gap."""
    parts: list[list[_Group]] = []
    end = float("-inf")
    for group in sorted(groups, key=lambda item: item.box[low]):
        slack = 0.25 * min(line.height for line in group.lines)
        if not parts or group.box[low] >= end - slack:
            parts.append([group])
            end = group.box[high]
        else:
            parts[-1].append(group)
            end = max(end, group.box[high])
    return parts
