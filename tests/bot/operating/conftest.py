"""A bot that is scraped over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

Series = dict[tuple[str, frozenset[tuple[str, str]]], float]


async def scrape(port: int, headers: dict[str, str] | None = None) -> Series:
    """Every sample of ``/metrics``, by name and labels."""
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"http://127.0.0.1:{port}/metrics", headers=headers) as answer,
    ):
        assert answer.status == 200, await answer.text()
        return dict(samples(await answer.text()))


def samples(text: str) -> Iterator[tuple[tuple[str, frozenset[tuple[str, str]]], float]]:
    """The samples of an exposition in the text format."""
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            yield (sample.name, frozenset(sample.labels.items())), sample.value


def value(series: Series, name: str, **labels: Any) -> float | None:
    """One sample; None: there is none."""
    return series.get((name, frozenset((key, str(label)) for key, label in labels.items())))
