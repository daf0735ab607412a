from __future__ import annotations

from bot.handlers import routers


def test_nothing_that_an_update_passes_is_asked_in_a_thread() -> None:
    passed = [
        one
        for router in routers()
        for observer in router.observers.values()
        for handler in observer.handlers
        for one in (handler, *(handler.filters or ()))
    ]
    assert passed
    assert [one.callback for one in passed if not one.awaitable] == []
