"""Where time goes."""

from __future__ import annotations

import time

import pytest

from inference.common.stages import collected, stage


def test_a_stage_holds_the_time_of_its_parts() -> None:
    with collected() as seconds, stage("read"):
        for _ in range(2):
            with stage("read.detect"):
                time.sleep(0.01)
        with stage("read.recognise"):
            pass
    assert list(seconds) == ["read", "read.detect", "read.recognise"]
    assert 0.02 <= seconds["read.detect"] <= seconds["read"]
    assert seconds["read.recognise"] < seconds["read.detect"]


def test_what_fails_took_time_too() -> None:
    with collected() as seconds, pytest.raises(ValueError, match="unreadable"), stage("read"):
        raise ValueError("unreadable")
    assert seconds["read"] > 0


def test_each_collection_is_its_own() -> None:
    with collected() as outer:
        with collected() as inner, stage("read"):
            pass
        with stage("generate"):
            pass
    assert (list(inner), list(outer)) == (["read"], ["generate"])


def test_nothing_is_timed_where_nobody_collects() -> None:
    with stage("read"):
        pass
    with collected() as seconds:
        pass
    assert seconds == {}
