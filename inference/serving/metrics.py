"""What an engine did and holds, in Prometheus' format."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    Metric,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)

from inference.common.types import Answer, Caption, EngineError, PictureError, UnknownModel
from inference.serving.engine import Engine, Helper
from inference.serving.errors import kind_of

# Upper ends in seconds, from one answered in the time of a press to one that somebody gave up.
SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 900.0)

TELL_PERIOD = 5.0  # seconds between two times that one of several engines tells what is gathered
_SILENT = 30.0  # seconds, after which an engine that told nothing is taken to be gone


def new_registry() -> CollectorRegistry:
    """A registry of its own, with what is to be known of any process: processor, memory, files, Python."""
    # A second series for each, which tells no more than the process's own start.
    disable_created_metrics()
    registry = CollectorRegistry(auto_describe=True)
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    return registry


class EngineMetrics:
    """Watches ``engine`` from now on, for ``registry``."""

    def __init__(self, engine: Engine, registry: CollectorRegistry) -> None:
        self._pictures = Counter(
            "meme_engine_pictures",
            "Pictures by what came of them: described, talked (about), a refusal's code, an error's kind.",
            ["model", "outcome"],
            registry=registry,
        )
        self._seconds = Histogram(
            "meme_engine_picture_seconds",
            "From a picture's arrival to its answer, waiting included.",
            ["model"],
            buckets=SECONDS,
            registry=registry,
        )
        self._stages = Histogram(
            "meme_engine_stage_seconds",
            "Parts of the work on a picture; what one takes includes its own parts.",
            ["model", "stage"],
            buckets=SECONDS,
            registry=registry,
        )
        self._restarts = Counter(
            "meme_engine_restarts",
            "Processes of the engine that had to be replaced.",
            ["process"],
            registry=registry,
        )
        for helper in ("worker", "opener"):
            self._restarts.labels(helper)
        waiting = Gauge("meme_engine_waiting_pictures", "Waiting or in work.", registry=registry)
        waiting.set_function(lambda: engine.waiting)
        opened = Gauge("meme_engine_opened_pictures", "Opened, waiting for the worker.", registry=registry)
        opened.set_function(lambda: engine.queued)
        ready = Gauge("meme_engine_ready", "1: the default model can describe.", registry=registry)
        ready.set_function(lambda: engine.healthy)
        engine.watchers.append(self)

    def answered(self, model: str, said: Caption | Answer, seconds: float) -> None:
        """A picture was described, or a question about it answered, so many seconds after it came."""
        self._pictures.labels(model, "described" if isinstance(said, Caption) else "talked").inc()
        self._seconds.labels(model).observe(seconds)
        for stage, spent in said.seconds.items():
            self._stages.labels(model, stage).observe(spent)

    def refused(self, model: str, error: PictureError | EngineError) -> None:
        """No answer will come."""
        if isinstance(error, UnknownModel):
            model = ""  # whoever asks may write anything there
        outcome = error.code if isinstance(error, PictureError) else kind_of(error)
        self._pictures.labels(model, outcome).inc()

    def replaced(self, helper: Helper) -> None:
        """A process died, or was ended since it took too long, and another one takes its place."""
        self._restarts.labels(helper).inc()


class Gathering:
    """What several engines told last, each by its name: whoever answers a scrape tells it of all."""

    def __init__(self) -> None:
        self._told: dict[str, tuple[float, list[Metric]]] = {}

    def tell(self, replica: str, families: list[Metric]) -> None:
        """What one engine's registry holds."""
        self._told[replica] = time.monotonic(), families

    def all(self) -> dict[str, list[Metric]]:
        """Of those engines that told something of late."""
        since = time.monotonic() - _SILENT
        self._told = {replica: told for replica, told in self._told.items() if told[0] >= since}
        return {replica: families for replica, (_, families) in self._told.items()}


def together(told: Mapping[str, Iterable[Metric]]) -> bytes:
    """What several engines hold, in Prometheus' text format: a label ``replica`` says whose a series is."""
    merged: dict[str, Metric] = {}
    for replica, families in told.items():
        for family in families:
            one = merged.setdefault(family.name, Metric(family.name, family.documentation, family.type))
            one.samples += (
                sample._replace(labels={**sample.labels, "replica": replica}) for sample in family.samples
            )
    return generate_latest(_Families(merged.values()))


class _Families:
    """As a registry is asked."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families
