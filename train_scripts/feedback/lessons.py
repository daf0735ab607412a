"""What an export teaches: texts with weights, and pairs of texts of which people preferred one.

* A correction is what should have been said: weight 1, shared by the corrections of one picture.
* A caption that people liked should be said again: mark 5 weighs 1, mark 4 weighs 1/2, less teaches nothing
  by itself (a caption that somebody corrected is no example of anything, whatever its mark).
* A correction is better than the caption it corrects. Of two captions of one picture the one with the higher
  marks is better: by the people who marked both, or, where nobody did, by 2 marks or more on average, since
  people are not equally strict.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import mean

from inference.common.errors import UserError
from train_scripts.data.exports import Export, Row

_LIKED = {5: 1.0, 4: 0.5}  # mark, rounded -> weight
_OWN_GAP, _OTHERS_GAP = 1.0, 2.0


@dataclass(frozen=True, slots=True)
class Lesson:
    """A text to learn for the picture ``file_name``; ``weight`` 0..1."""

    file_name: str
    text: str
    weight: float
    by_person: bool  # a correction; else a caption of a model that people liked


@dataclass(frozen=True, slots=True)
class Pair:
    """Of two texts about one picture ``better`` is preferred; ``weight`` 0..1."""

    file_name: str
    better: str
    worse: str
    weight: float


@dataclass(frozen=True, slots=True)
class Lessons:
    """Everything an export teaches."""

    lessons: tuple[Lesson, ...]
    pairs: tuple[Pair, ...]
    corrections: Mapping[str, str]  # file_name -> the newest correction: what the result is measured against
    rows: int
    without_picture: int

    @property
    def file_names(self) -> list[str]:
        """The pictures, in the order of the export."""
        names = [one.file_name for one in self.lessons] + [one.file_name for one in self.pairs]
        return list(dict.fromkeys(names))


def learn_from(export: Export) -> Lessons:
    """Raises UserError when there is nothing to learn."""
    pictures: dict[str, list[Row]] = defaultdict(list)
    for row in export.rows:
        if row.file_name is not None:
            pictures[row.file_name].append(row)
    without = sum(row.file_name is None for row in export.rows)
    lessons: list[Lesson] = []
    pairs: list[Pair] = []
    corrections: dict[str, str] = {}
    for name, rows in pictures.items():
        lessons += _lessons(name, rows)
        pairs += _pairs(name, rows)
        corrected = [row for row in rows if row.correction is not None]
        if corrected:
            newest = max(corrected, key=lambda row: row.said_at)
            corrections[name] = newest.correction or ""
    if not lessons and not pairs:
        raise UserError(_nothing(export, without))
    return Lessons(tuple(lessons), tuple(pairs), corrections, len(export.rows), without)


def _nothing(export: Export, without: int) -> str:
    reasons = [f"{export.erased} of its rows are by people or about pictures erased since"] * bool(
        export.erased
    )
    reasons += [f"{without} rows are without a picture, since its sender did not let it be kept"] * bool(
        without
    )
    rest = len(export.rows) - without
    reasons += [f"the marks of the other {rest} neither like a caption nor tell two apart"] * bool(rest)
    why = "; ".join(reasons) or "it holds no rows"
    return (
        f"There is nothing to learn in {export.folder} ({why}): "
        "export again when people have corrected some captions."
    )


def _lessons(name: str, rows: Sequence[Row]) -> list[Lesson]:
    corrections = {row.correction for row in rows if row.correction is not None}
    found = [Lesson(name, text, 1 / len(corrections), True) for text in sorted(corrections)]
    corrected = {row.caption for row in rows if row.correction is not None}
    for caption, marks in _marks(rows).items():
        weight = _LIKED.get(round(mean(marks.values())))
        if weight is not None and caption not in corrected:
            found.append(Lesson(name, caption, weight, False))
    return found


def _pairs(name: str, rows: Sequence[Row]) -> list[Pair]:
    found = {
        (row.correction, row.caption): Pair(name, row.correction, row.caption, 1.0)
        for row in rows
        if row.correction is not None and row.correction.strip() != row.caption.strip()
    }
    for (one, own), (other, others) in combinations(_marks(rows).items(), 2):
        both = own.keys() & others.keys()
        gap = mean([own[user] - others[user] for user in both]) if both else _gap(own, others)
        if abs(gap) < (_OWN_GAP if both else _OTHERS_GAP):
            continue
        better, worse = (one, other) if gap > 0 else (other, one)
        found.setdefault((better, worse), Pair(name, better, worse, min(1.0, abs(gap) / 2)))
    return list(found.values())


def _marks(rows: Iterable[Row]) -> dict[str, dict[str, int]]:
    """caption -> person -> mark."""
    marks: dict[str, dict[str, int]] = defaultdict(dict)
    for row in rows:
        if row.rating is not None:
            marks[row.caption][row.user] = row.rating
    return marks


def _gap(one: Mapping[str, int], other: Mapping[str, int]) -> float:
    return mean(one.values()) - mean(other.values())
