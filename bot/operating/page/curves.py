"""A curve as the points of an SVG, and what it says in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from itertools import groupby

WIDTH, HEIGHT = 600, 160  # of the drawing, in its own units
_LEFT, _RIGHT, _TOP, _BOTTOM = 40, 10, 10, 22


@dataclass(frozen=True, slots=True)
class Curve:
    """One value a day; None: there was none."""

    title: str
    days: Sequence[date]
    values: Sequence[float | None]
    top: float  # the value at the upper edge
    digits: int = 0

    @property
    def pieces(self) -> list[str]:
        """The points of each part without a gap, as ``points`` of a polyline."""
        known = [(number, value) for number, value in enumerate(self.values) if value is not None]
        parts = groupby(enumerate(known), key=lambda one: one[1][0] - one[0])
        return [" ".join(self._point(*one) for _, one in part) for _, part in parts]

    @property
    def dots(self) -> list[tuple[str, str]]:
        """Where each value stands."""
        points = [self._point(number, value) for number, value in enumerate(self.values) if value is not None]
        return [(x, y) for x, _, y in (point.partition(",") for point in points)]

    @property
    def summary(self) -> str:
        """For whoever hears it."""
        known = [(value, day) for value, day in zip(self.values, self.days, strict=True) if value is not None]
        if not known:
            return f"{self.title}: nothing in these days."
        low, high = min(known), max(known)
        return (
            f"{self.title}: at least {self.written(low[0])} ({low[1]}), at most {self.written(high[0])} "
            f"({high[1]}), last {self.written(known[-1][0])} ({known[-1][1]})."
        )

    def written(self, value: float | None) -> str:
        """A value as text."""
        return "–" if value is None else f"{value:.{self.digits}f}"

    def _point(self, number: int, value: float) -> str:
        width = WIDTH - _LEFT - _RIGHT
        x = _LEFT + (width * number / (len(self.days) - 1) if len(self.days) > 1 else width / 2)
        share = value / self.top if self.top else 0.0
        y = HEIGHT - _BOTTOM - (HEIGHT - _TOP - _BOTTOM) * share
        return f"{x:.1f},{y:.1f}"


def upper_edge(values: Sequence[float]) -> float:
    """A round number that none of these exceeds, at least 1."""
    most = max([1.0, *values])
    scale = 10.0 ** (len(str(int(most))) - 1)
    return next(step * scale for step in (1, 2, 5, 10) if step * scale >= most)
