"""People: who they are and what they choose."""

from __future__ import annotations

import pytest

from bot.feedback.database import NotStored
from bot.feedback.store import Store
from tests.bot.feedback.conftest import Chat


async def test_a_person_is_met_once(store: Store) -> None:
    first = await store.people.meet(10, language="ru", username="anna")
    assert (first.language, first.consent, first.active) == ("ru", False, True)
    again = await store.people.meet(10, language="ru", username="anna2")
    assert (again.id, again.username) == (first.id, "anna2")
    assert (await store.reports.stats()).users == 1


async def test_a_chosen_language_outlives_telegrams(store: Store) -> None:
    user = await store.people.meet(10, language="ru")
    assert (await store.people.meet(10, language="en")).language == "en"
    await store.people.set_language(user.id, "ru")
    assert (await store.people.meet(10, language="en")).language == "ru"


async def test_who_blocked_the_bot_is_active_again_with_the_next_message(store: Store) -> None:
    await store.people.deactivate(10)  # unknown: nothing happens
    await store.people.meet(10, language="ru")
    await store.people.deactivate(10)
    blocked = await store.people.find(10)
    assert blocked is not None and not blocked.active
    assert (await store.people.meet(10, language="ru")).active


async def test_a_persons_choices_are_kept_until_they_change_them(chat: Chat, store: Store) -> None:
    user = await chat.person(10)
    assert (user.model, user.compare_with) == (None, None)
    await store.people.choose_model(user.id, "hf:org/name")
    await store.people.compare_with(user.id, ("hf:org/name", "my model"))
    again = await store.people.meet(10, language="en")
    assert (again.model, again.compare_with) == ("hf:org/name", ("hf:org/name", "my model"))
    await store.people.compare_with(user.id, ())
    assert (await store.people.meet(10, language="en")).compare_with == ()
    await store.people.choose_model(user.id, None)
    await store.people.compare_with(user.id, None)
    again = await store.people.meet(10, language="en")
    assert (again.model, again.compare_with) == (None, None)
    await store.erasure.erase(user.id)
    with pytest.raises(NotStored):
        await store.people.choose_model(user.id, "x")
