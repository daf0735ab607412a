"""The store in numbers."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bot.feedback.reports import ModelStats
from bot.feedback.store import Store
from tests.bot.feedback.conftest import MODEL, Chat, fields, meme, said


async def test_stats_are_by_model(chat: Chat, store: Store) -> None:
    user = await chat.person(10)
    row = await chat.answer(user, meme())
    await store.marks.rate(user.id, row.id, 4)
    job = await chat.job(user, "other")
    picture = replace(fields(meme("ДРУГОЙ")), file_unique_id="other")
    await store.captions.save(job.id, picture=picture, caption=said(model="rudolph"))
    stats = {model.model: model for model in (await store.reports.stats()).models}
    assert stats[MODEL].mean_rating == 4.0
    assert stats["rudolph"].mean_rating is None
    assert (await store.reports.stats()).jobs == {"answered": 1, "accepted": 1}


@pytest.mark.parametrize(
    ("marks", "low", "high"),
    [
        # n marks of 5: Wilson's lower bound is n / (n + 1.96 ** 2).
        ({5: 1}, 1 + 4 * 0.206549, 5.0),
        ({5: 10}, 1 + 4 * 0.722467, 5.0),
        ({1: 5, 5: 5}, 1 + 4 * 0.236593, 1 + 4 * 0.763407),
        ({3: 10}, 1 + 4 * 0.236593, 1 + 4 * 0.763407),
    ],
)
def test_the_interval_of_a_mean_mark(marks: dict[int, int], low: float, high: float) -> None:
    found = ModelStats("m", "c", 1, marks, 0).interval
    assert found == pytest.approx((low, high), abs=1e-4)


def test_more_marks_make_the_interval_narrower_and_none_make_none() -> None:
    widths = []
    for n in (1, 10, 100, 1000):
        low, high = ModelStats("m", "c", 1, {2: n, 4: n}, 0).interval or (0.0, 9.0)
        assert 1 <= low < 3 < high <= 5
        widths.append(high - low)
    assert widths == sorted(widths, reverse=True) and widths[-1] < 0.2
    assert ModelStats("m", "c", 1, {}, 0).interval is None
