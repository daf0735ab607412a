"""What the bot does and holds, in Prometheus' format. No label tells who, nor what was said."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from prometheus_client import Counter, Gauge, Histogram

from bot.feedback.sessions import STATEMENTS
from inference.serving.metrics import SECONDS, new_registry

# Upper ends in seconds, of what is done many times for one picture.
_SHORT = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0)


class Metrics:
    """The metrics of one bot, in their own registry. The parts call its methods, or are asked at a scrape.

    Every label has few values: Telegram's methods and kinds of updates, names of models that are or were on
    offer, outcomes that this program names.
    """

    def __init__(self) -> None:
        self.registry = new_registry()
        self._updates = self._counter("updates", "Updates by kind and outcome.", "kind", "outcome")
        self._update_seconds = self._histogram("update_seconds", "Handling an update.", "kind")
        self._pictures = self._counter(
            "pictures",
            "Pictures by what came of them: answered, what is wrong with them or us, undeliverable, or left.",
            "model",
            "outcome",
        )
        self._picture_seconds = self._histogram("picture_seconds", "From acceptance to the reply.")
        self._queue_seconds = self._histogram("queue_seconds", "From acceptance to the picture's turn.")
        self._lost_answers = self._counter(
            "lost_answers", "Replies of which Telegram did not say whether they arrived."
        )
        self._requests = self._counter(
            "api_requests", "Requests to the Bot API by outcome, each try.", "method", "outcome"
        )
        self._request_seconds = self._histogram("api_request_seconds", "A request to the Bot API.", "method")
        self._repeats = self._counter(
            "api_retries", "Requests that are tried again, after a limit or a failure.", "method", "cause"
        )
        self._asked: set[str] = set()  # methods
        self._waits = self._histogram("api_wait_seconds", "Until Telegram's limits had room for a request.")
        self._marks = self._counter("marks", "Marks given and changed, by value.", "mark")
        for mark in range(1, 6):
            self._marks.labels(str(mark))
        self._statements = self._histogram(
            "database_seconds",
            "A statement of the database, by its first word.",
            "statement",
            buckets=_SHORT,
        )
        self._statements_of = {kind: self._statements.labels(kind) for kind in (*STATEMENTS, "other")}
        self._transactions = self._histogram(
            "database_transaction_seconds",
            "A transaction that writes, from the wait for its turn to the commit.",
            buckets=_SHORT,
        )
        self._outages = self._counter("database_outages", "Times from which the database could not be used.")
        self._lag = self._histogram(
            "loop_lag_seconds", "How much later than it was due the event loop did a thing.", buckets=_SHORT
        )
        self._kept = self._gauge("kept_pictures", "Pictures that are kept.")
        self._kept_bytes = self._gauge("kept_pictures_bytes", "What they take on the disk.")

    def ask(
        self,
        *,
        unfinished: Callable[[], int],
        receiving: Callable[[], bool],
        engine: Callable[[], bool],
        database: Callable[[], bool],
        data_dir: Path,
    ) -> None:
        """Ask these at each scrape."""
        for name, help_, value in (
            ("queue_pictures", "Pictures accepted and not yet answered.", unfinished),
            ("receiving", "1: updates come.", receiving),
            ("engine_ready", "1: the engine can describe.", engine),
            ("database_up", "1: the database can be used, as far as anybody has tried.", database),
            ("data_free_bytes", "Free space where the pictures lie.", lambda: _free(data_dir)),
        ):
            self._gauge(name, help_).set_function(value)

    # --- what is told ---

    def update_handled(self, kind: str, outcome: str, seconds: float) -> None:
        """An update's handler ended."""
        self._updates.labels(kind, outcome).inc()
        self._update_seconds.labels(kind).observe(seconds)

    def picture_began(self, waited: float) -> None:
        """It is a picture's turn, after so many seconds."""
        self._queue_seconds.observe(waited)

    def picture_ended(self, model: str, outcome: str, seconds: float) -> None:
        """Nothing more is done for a picture."""
        self._pictures.labels(model, outcome).inc()
        self._picture_seconds.observe(seconds)

    def answer_lost(self) -> None:
        """Nobody knows whether a reply arrived."""
        self._lost_answers.inc()

    def requested(self, method: str, outcome: str, seconds: float) -> None:
        """A request to the Bot API ended."""
        if method not in self._asked:  # a series that begins at 1 tells nobody of its first time
            self._asked.add(method)
            for cause in ("limit", "failure"):
                self._repeats.labels(method, cause)
        self._requests.labels(method, outcome).inc()
        self._request_seconds.labels(method).observe(seconds)

    def repeating(self, method: str, cause: str) -> None:
        """A request to the Bot API is tried again, after a "limit" or a "failure"."""
        self._repeats.labels(method, cause).inc()

    def paced(self, waited: float) -> None:
        """Telegram's limits have room for a request, after so many seconds."""
        self._waits.observe(waited)

    def marked(self, mark: int) -> None:
        """Somebody gave a mark, 1..5."""
        self._marks.labels(str(mark)).inc()

    def statement_ran(self, kind: str, seconds: float) -> None:
        """The database answered a statement."""
        self._statements_of[kind].observe(seconds)

    def transaction_ended(self, seconds: float) -> None:
        """A transaction that writes is committed."""
        self._transactions.observe(seconds)

    def outage_began(self) -> None:
        """From now on the database cannot be used."""
        self._outages.inc()

    def loop_was_late(self, seconds: float) -> None:
        """The event loop did something so many seconds later than it was due."""
        self._lag.observe(seconds)

    def pictures_kept(self, number: int, size: int) -> None:
        """So many pictures are kept, of so many bytes together."""
        self._kept.set(number)
        self._kept_bytes.set(size)

    def _counter(self, name: str, help_: str, *labels: str) -> Counter:
        return Counter(f"meme_bot_{name}", help_, labels, registry=self.registry)

    def _gauge(self, name: str, help_: str) -> Gauge:
        return Gauge(f"meme_bot_{name}", help_, registry=self.registry)

    def _histogram(
        self, name: str, help_: str, *labels: str, buckets: tuple[float, ...] = SECONDS
    ) -> Histogram:
        return Histogram(f"meme_bot_{name}", help_, labels, buckets=buckets, registry=self.registry)


def _free(folder: Path) -> float:
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return float("nan")
