"""What Prometheus is told, scraped over HTTP after a journey; and what asks for it: dashboard and alerts."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from bot.app import App
from bot.config import Settings
from bot.sandbox import ME, Sandbox
from tests.bot.conftest import data_of, locked, reply_to, settled, until, working
from tests.bot.operating.conftest import Series, scrape, value
from tests.drawing import draw_meme, jpeg_bytes
from tests.inference.fakes import POISON_ONCE, RAISE, picture

DOCS = Path(__file__).parents[3] / "docs"
MEME = jpeg_bytes(draw_meme("caption_bar", width=400))


@pytest.fixture
async def watched(
    settings: Callable[..., Settings], sandbox: Sandbox, unused_tcp_port: int
) -> AsyncIterator[tuple[App, int]]:
    """A bot at work, and the port where it is watched."""
    async with working(settings(health_port=unused_tcp_port), sandbox) as app:
        yield app, unused_tcp_port


async def journey(app: App, sandbox: Sandbox) -> None:
    """A picture described and rated, one that breaks the model, one over which the worker dies, a limit."""
    sandbox.fail("sendMessage", "reset")
    answer = await reply_to(sandbox, await sandbox.send_photo(MEME))
    sandbox.press(answer["message_id"], data_of(answer, "s:"))
    shown = await sandbox.wait_for(
        lambda: [one for one in sandbox.messages(by_bot=True) if one["text"].startswith("400 x")]
    )
    sandbox.press(shown[0]["message_id"], data_of(shown[0], "r:"))
    await sandbox.wait_for(lambda: "Ваша оценка: 1" in shown[0]["text"])
    await reply_to(sandbox, await sandbox.send_document(picture(RAISE), "a.png"))
    await reply_to(sandbox, await sandbox.send_document(picture(POISON_ONCE), "b.png"))
    sandbox.fail("sendMessage", "flood", retry_after=1)
    await reply_to(sandbox, await sandbox.send_text("привет"))
    await reply_to(sandbox, await sandbox.send_document(b"no picture", "c.png", mime_type="image/png"))
    await until(lambda: settled(app))


async def test_what_happened_is_counted(watched: tuple[App, int], sandbox: Sandbox) -> None:
    app, port = watched
    await journey(app, sandbox)
    told = await scrape(port)
    pictures = {
        dict(labels)["outcome"]: number
        for (name, labels), number in told.items()
        if name == "meme_bot_pictures_total"
    }
    assert pictures == {"answered": 2, "out_of_order": 1, "not_a_picture": 1}
    assert value(told, "meme_bot_pictures_total", model="fake", outcome="answered") == 2
    assert value(told, "meme_bot_picture_seconds_count") == 4
    assert value(told, "meme_bot_queue_seconds_count") == 4
    assert value(told, "meme_bot_queue_pictures") == 0
    assert value(told, "meme_bot_lost_answers_total") == 1
    assert [value(told, "meme_bot_marks_total", mark=mark) for mark in range(1, 6)] == [1, 0, 0, 0, 0]
    assert value(told, "meme_bot_updates_total", kind="message", outcome="handled") == 5
    assert value(told, "meme_bot_updates_total", kind="callback_query", outcome="handled") == 2
    assert value(told, "meme_bot_api_requests_total", method="getFile", outcome="ok") == 4
    assert value(told, "meme_bot_api_requests_total", method="sendMessage", outcome="TelegramRetryAfter") == 1
    assert value(told, "meme_bot_api_retries_total", method="sendMessage", cause="limit") == 1
    assert value(told, "meme_bot_database_seconds_count", statement="insert")
    assert value(told, "meme_bot_database_transaction_seconds_count")
    assert value(told, "meme_bot_database_outages_total") == 0
    assert value(told, "meme_bot_data_free_bytes")
    assert [value(told, f"meme_bot_{name}") for name in ("receiving", "engine_ready", "database_up")] == [
        1
    ] * 3
    # The engine is the bot's own: it tells of itself.
    assert value(told, "meme_engine_pictures_total", model="fake", outcome="described") == 2
    assert value(told, "meme_engine_pictures_total", model="fake", outcome="failed") == 1
    assert value(told, "meme_engine_restarts_total", process="worker") == 1
    assert value(told, "meme_engine_stage_seconds_count", model="fake", stage="total") == 2


async def test_no_label_says_who_or_what(watched: tuple[App, int], sandbox: Sandbox) -> None:
    app, port = watched
    await journey(app, sandbox)
    said = {text for _, labels in await scrape(port) for _, text in labels}
    assert str(ME) not in " ".join(said)
    assert all(re.fullmatch(r"[\w.+-]*|\d.*", text) for text in said), said


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """To be asked for before the bot: how long a connection waits for a lock is said when it is opened."""
    monkeypatch.setattr("bot.feedback.sqlite.WAIT", 100)
    monkeypatch.setattr("bot.feedback.waiting.STORE_PAUSES", (0.01,))


@pytest.mark.usefixtures("impatient")
async def test_outages_and_what_is_kept_are_told(
    watched: tuple[App, int], sandbox: Sandbox, tmp_path: Path
) -> None:
    app, port = watched
    user = await app.store.people.meet(ME, language="ru")
    await app.store.people.set_consent(user.id, True)
    await reply_to(sandbox, await sandbox.send_photo(MEME))
    await until(lambda: settled(app))
    app.metrics.pictures_kept(*await app.store.reports.kept())
    told = await scrape(port)
    assert value(told, "meme_bot_kept_pictures") == 1
    kept = [file.stat().st_size for file in (tmp_path / "data" / "pictures").rglob("*.jpg")]
    assert value(told, "meme_bot_kept_pictures_bytes") == sum(kept) > 0

    async def away() -> bool:
        return value(await scrape(port), "meme_bot_database_up") == 0

    async with locked(tmp_path):
        photo = await sandbox.send_photo(MEME)
        await until(away)
    await reply_to(sandbox, photo)
    assert value(await scrape(port), "meme_bot_database_outages_total") == 1


async def test_openmetrics_is_spoken_to_who_asks_for_it(watched: tuple[App, int]) -> None:
    import aiohttp
    from prometheus_client.openmetrics.parser import text_string_to_metric_families

    headers = {"Accept": "application/openmetrics-text; version=1.0.0"}
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"http://127.0.0.1:{watched[1]}/metrics", headers=headers) as answer,
    ):
        families = {family.name for family in text_string_to_metric_families(await answer.text())}
    assert "meme_bot_updates" in families


# --- what asks for them ---


def names_asked_for(expression: str) -> set[str]:
    """The metrics that a PromQL expression names."""
    return set(re.findall(r"\b(?:meme|process|python)_\w+", expression))


def dashboard() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((DOCS / "grafana" / "meme-bot.json").read_text("utf-8"))
    return loaded


def rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load((DOCS / "prometheus" / "alerts.yaml").read_text("utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


def expressions() -> list[str]:
    panels = [target["expr"] for panel in dashboard()["panels"] for target in panel.get("targets", ())]
    return panels + [rule["expr"] for rule in rules()]


async def test_what_dashboard_and_alerts_ask_for_is_told(watched: tuple[App, int], sandbox: Sandbox) -> None:
    app, port = watched
    await journey(app, sandbox)
    told: Series = await scrape(port)
    names = {name for name, _ in told}
    labels = {(name, label) for name, pairs in told for label, _ in pairs}
    asked = set().union(*map(names_asked_for, expressions()))
    assert asked <= names, asked - names
    # And nothing is told that nobody looks at.
    ours = {re.sub(r"_(bucket|count|sum)$", "", name) for name in names if name.startswith("meme_")}
    assert ours == {re.sub(r"_(bucket|count|sum)$", "", name) for name in asked if name.startswith("meme_")}
    for expression in expressions():
        for name, inside in re.findall(r"(meme_\w+)\{([^}]*)\}", expression):
            for label in re.findall(r"(\w+)[=!]", inside):
                assert (name, label) in labels, expression
        for grouped in re.findall(r"by \(([^)]*)\)", expression):
            for label in filter(None, re.split(r",\s*", grouped)):
                assert any((name, label) in labels for name in names_asked_for(expression)), expression


def test_alerts_are_rules_that_say_what_to_do() -> None:
    names = [rule["alert"] for rule in rules()]
    assert len(names) == len(set(names)) >= 10
    for rule in rules():
        assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
        assert re.fullmatch(r"\d+[smh]", rule.get("for", "0s"))
        assert rule["labels"]["severity"] in {"page", "look"}
        assert all(rule["annotations"][part].endswith(".") for part in ("summary", "description"))
        assert rule["expr"].count("(") == rule["expr"].count(")")


def test_the_dashboard_is_one_that_grafana_reads() -> None:
    board = dashboard()
    assert board["schemaVersion"] >= 39 and board["uid"]
    panels = board["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert place["x"] + place["w"] <= 24
        assert not cells & taken, panel["title"]
        taken |= cells
        if panel["type"] != "row":
            assert panel["title"] and panel["description"].endswith(".")


def test_compose_starts_what_reads_them() -> None:
    services = yaml.safe_load((DOCS.parent / "compose.yaml").read_text("utf-8"))["services"]
    watching = {name for name, service in services.items() if service.get("profiles") == ["watch"]}
    assert watching == {"prometheus", "grafana"}
    for name in watching:
        for volume in services[name]["volumes"]:
            source = volume.split(":")[0]
            assert not source.startswith(".") or (DOCS.parent / source).exists(), source
    scraped = yaml.safe_load((DOCS / "prometheus" / "prometheus.yaml").read_text("utf-8"))
    (job,) = scraped["scrape_configs"]
    assert job["static_configs"][0]["targets"] == [f"bot:{services['bot']['environment']['HEALTH_PORT']}"]
    assert services["bot"]["environment"]["HEALTH_HOST"] == "0.0.0.0"
    assert all((DOCS / "prometheus" / file).exists() for file in scraped["rule_files"])
