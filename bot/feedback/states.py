"""The states of a job from received to answered, and the moves between them: nothing else names either."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class JobState(StrEnum):
    """Where a picture stands."""

    ACCEPTED = "accepted"  # it is written down, and nobody works on it yet
    WORKING = "working"  # a process works on it, or died over it
    ANSWERED = "answered"  # the reply is in the chat
    FAILED = "failed"  # no caption will come; the person was told so, where that could be


UNFINISHED = (JobState.ACCEPTED, JobState.WORKING)


@dataclass(frozen=True, slots=True)
class Move:
    """A job in one of the states ``before`` comes into the state ``after``."""

    before: tuple[JobState, ...]
    after: JobState


CLAIM = Move((JobState.ACCEPTED,), JobState.WORKING)
TAKE_UP = Move(UNFINISHED, JobState.WORKING)  # what a process that died may have begun
RETRY = Move((JobState.FAILED,), JobState.ACCEPTED)
# What is in the chat is true whatever was written down: two processes may have worked on the same picture.
ANSWER = Move(tuple(JobState), JobState.ANSWERED)
FAIL = Move(tuple(JobState), JobState.FAILED)
