"""What every step of a reproduction has, and how they are gone through."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from inference.common.errors import UserError
from train_scripts.tables import Sheet

__all__ = ["ByHand", "Step", "ask_for_archives", "go", "overview"]

_MEGABYTE = 1e6


@dataclass(frozen=True, kw_only=True)
class Step(ABC):
    """One stretch of the way. Nothing is remembered of it: what lies on the disk says whether it is done.

    `place`: the file or folder that it makes. `feeds`: the steps that need that. `megabytes`: about how much
    has to be fetched; 0: nobody states it, None: nothing is.
    """

    title: str
    place: Path
    feeds: tuple[Step, ...] = ()
    megabytes: float | None = None

    @abstractmethod
    def there(self) -> bool:
        """Whether all of what it makes is there. Raises UserError where something else is in its place."""

    @abstractmethod
    def run(self) -> str:
        """Makes what is missing, and says what came of it. Stopped at any moment, it goes on from there.

        Raises UserError.
        """

    def done(self) -> bool:
        """Whether it has nothing to do: also when all that was to be made of it is done."""
        return self.there() or (bool(self.feeds) and all(step.done() for step in self.feeds))

    def state(self) -> str:
        """A word or two for the overview."""
        return "done" if self.done() else "to do"


@dataclass(frozen=True, kw_only=True)
class ByHand(Step):
    """An archive that only a person can fetch, from `page`; it is put into the folder `place`."""

    page: str

    def there(self) -> bool:
        return any(self.place.glob("*.zip"))

    def run(self) -> str:
        raise UserError(f"{self.wish()}, then give the same command again.")

    def state(self) -> str:
        return "done" if self.done() else "missing: by hand"

    def wish(self) -> str:
        """What a person is to do, without a full stop."""
        return f"Fetch from {self.page} {self.title}, and put it into the folder {self.place}"


def ask_for_archives(steps: Sequence[Step]) -> None:
    """Makes the folders of all archives that a person has to fetch, and raises UserError that names them."""
    missing = [step for step in steps if isinstance(step, ByHand) and not step.done()]
    for step in missing:
        step.place.mkdir(parents=True, exist_ok=True)
    if missing:
        raise UserError(f"{'; '.join(step.wish() for step in missing)}; then give the same command again.")


def go(steps: Sequence[Step], say: Callable[[str], None]) -> None:
    """Does what is not done of the steps, in their order. Raises UserError."""
    for number, step in enumerate(steps, 1):
        place = f"{number} of {len(steps)}, {step.title}"
        if step.done():
            say(f"{place}: done before.")
            continue
        say(f"{place} …")
        say(step.run())


def overview(title: str, steps: Sequence[Step]) -> Sheet:
    """The steps with their places, sizes in megabytes, and what is done of them."""
    rows = []
    for number, step in enumerate(steps, 1):
        rows.append((str(number), step.title, str(step.place), step.state(), _size(step)))
    return Sheet(title, ("", "Step", "Where", "State", "MB"), tuple(rows), text_columns=4)


def _size(step: Step) -> str:
    """The megabytes that lie there, or else those that will be fetched."""
    files = [step.place, *step.place.rglob("*")]
    if there := sum(file.stat().st_size for file in files if file.is_file()):
        return f"{there / _MEGABYTE:,.1f}"
    if step.megabytes is None:
        return "–"
    return f"about {step.megabytes:,.0f}" if step.megabytes else "?"
