"""A process of ours from within: what :mod:`.child` expects of it."""

from __future__ import annotations

import logging
import os
import signal
import sys
from typing import BinaryIO

from inference.common.tracing import NamesPicture

__all__ = ["answers_to_engine"]


def answers_to_engine() -> BinaryIO:
    """Gets this process ready, and returns the stream that its frames go to, which was stdout.

    Whatever a library prints there goes to stderr from now on, as what is logged does: the engine logs it,
    with the level and the picture's id that each record begins with. A Ctrl+C is the engine's, which may want
    a last answer.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s:%(picture)s:%(message)s", stream=sys.stderr)
    for handler in logging.getLogger().handlers:
        handler.addFilter(NamesPicture())
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return answers
