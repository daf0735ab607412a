"""What the service tells Prometheus, over real HTTP."""

from __future__ import annotations

from pathlib import Path

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from inference.serving import metrics
from inference.serving.access import Access
from inference.serving.engine import Engine, EngineSettings
from inference.serving.metrics import EngineMetrics, Gathering, new_registry, together
from tests.inference import fakes
from tests.inference.serving.test_access import KEYS, serving


async def test_the_service_tells_what_it_did_to_those_with_a_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_LOG", str(tmp_path / "log"))
    fakes.write_checkpoint(tmp_path / "models", "first")
    settings = EngineSettings(
        model="first", models_dir=tmp_path / "models", captioner="tests.inference.fakes:load"
    )
    headers = {"Authorization": f"Bearer {KEYS[0]}"}
    async with (
        serving(settings, Access.of("127.0.0.1", keys=KEYS)) as url,
        aiohttp.ClientSession() as session,
    ):
        for query, data in (
            ({}, fakes.picture()),
            ({}, b"no picture"),
            ({"model": "what anybody may write here"}, fakes.picture()),
        ):
            async with session.post(f"{url}/caption", params=query, data=data, headers=headers) as answer:
                await answer.read()
        async with session.get(f"{url}/metrics") as answer:
            assert answer.status == 401
        async with session.get(f"{url}/metrics", headers=headers) as answer:
            assert answer.status == 200
            families = list(text_string_to_metric_families(await answer.text()))
    samples = {
        (one.name, *sorted(one.labels.items())): one.value for all_ in families for one in all_.samples
    }
    counted = {key[1:]: value for key, value in samples.items() if key[0] == "meme_engine_pictures_total"}
    assert counted == {
        (("model", "first"), ("outcome", "described")): 1,
        (("model", "first"), ("outcome", "not_a_picture")): 1,
        # No name that a caller made up becomes a series of its own.
        (("model", ""), ("outcome", "unknown_model")): 1,
    }
    assert samples["meme_engine_ready",] == 1
    assert samples["process_resident_memory_bytes",] > 0


async def test_what_several_engines_did_is_told_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As replicas of a cluster, of which any may be asked."""
    fakes.write_checkpoint(tmp_path / "models", "first")
    settings = EngineSettings(
        model="first", models_dir=tmp_path / "models", captioner="tests.inference.fakes:load"
    )
    gathering = Gathering()
    for replica, number in (("one", 1), ("two", 2)):
        registry = new_registry()
        async with Engine(settings) as engine:
            EngineMetrics(engine, registry)
            for _ in range(number):
                await engine.caption(fakes.picture())
        gathering.tell(replica, list(registry.collect()))
    alone = {family.name for family in registry.collect()}
    families = list(text_string_to_metric_families(together(gathering.all()).decode()))
    # Each stands there once, as its readers want it.
    assert sorted(family.name for family in families) == sorted(alone)
    samples = {
        (one.labels["replica"], one.name, one.labels.get("outcome"), one.labels.get("le")): one.value
        for family in families
        for one in family.samples
    }
    described = "meme_engine_pictures_total", "described", None
    assert [samples[replica, *described] for replica in ("one", "two")] == [1, 2]
    seconds = "meme_engine_picture_seconds_bucket", None, "+Inf"
    assert [samples[replica, *seconds] for replica in ("one", "two")] == [1, 2]
    # One that is silent is gone.
    monkeypatch.setattr(metrics, "_SILENT", -1.0)
    assert gathering.all() == {} and together({}) == b""
