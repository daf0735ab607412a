"""The process that opens files from strangers: ``python -m inference.serving.opener``, started by the engine.

It forks a child for each file, to which the system gives so much time and memory and no more. Whatever a file
does to a decoder, it does not do to the process that holds the models, nor to the next file. It ends when its
stdin does.
"""

from __future__ import annotations

import argparse
import gc
import logging
import os
import resource
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from inference.common.tracing import of_picture
from inference.common.types import PictureError
from inference.pictures.opening import load_picture
from inference.serving import protocol
from inference.serving.in_child import answers_to_engine
from inference.serving.protocol import Opened

_STANDING = 5  # times its processor time that a file may take by the clock, on a machine with much else to do


@dataclass(frozen=True, slots=True)
class Limits:
    """What one file may take."""

    seconds: float  # of processor time
    memory: int  # bytes beside those that every such process has


def serve(requests: BinaryIO, answers: BinaryIO, limits: Limits) -> None:
    """Open one file after the other, until the requests end."""
    while True:
        try:
            message, (data,) = protocol.read(requests)
        except (EOFError, OSError):
            return
        child = os.fork()
        if not child:
            with of_picture(message["picture"]):
                _open_and_exit(data, answers, limits)
        del data
        _, status = os.waitpid(child, 0)
        if status:
            protocol.write(answers, _death(os.waitstatus_to_exitcode(status)))


def _death(code: int) -> protocol.Message:
    """What a child's end says that gave no answer."""
    late = -code in {signal.SIGPROF, signal.SIGALRM}
    return {"type": "too_costly"} if late else {"type": "died", "exit_code": code}


def _open_and_exit(data: bytes, answers: BinaryIO, limits: Limits) -> None:
    """The child's life."""
    status = 1
    try:
        _limit(limits)
        answer = _opened(data)
        for timer in (signal.ITIMER_PROF, signal.ITIMER_REAL):
            signal.setitimer(timer, 0)  # half an answer would be none
        if isinstance(answer, Opened):
            protocol.write(answers, {"type": "opened", **answer.to_dict()}, [answer.pixels])
        elif isinstance(answer.__cause__, MemoryError):
            protocol.write(answers, {"type": "too_costly"})
        else:
            protocol.write(answers, {"type": "refused", "code": answer.code, "sentence": str(answer)})
        status = 0
    except BaseException:
        logging.exception("A file could not be opened")
    finally:
        os._exit(status)


def _limit(limits: Limits) -> None:
    """Whoever takes more time is ended by the system; more memory is refused to it."""
    signal.setitimer(signal.ITIMER_PROF, limits.seconds)
    signal.setitimer(signal.ITIMER_REAL, limits.seconds * _STANDING)
    held = _held()
    if held:
        resource.setrlimit(resource.RLIMIT_DATA, (held + limits.memory,) * 2)


def _held() -> int:
    """Bytes that this process has asked for, as RLIMIT_DATA counts them; 0 elsewhere than on Linux."""
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii")
    except OSError:
        return 0
    told = [line.split()[1] for line in status.splitlines() if line.startswith("VmData:")]
    return int(told[0]) * 1024 if told else 0


def _opened(data: bytes) -> Opened | PictureError:
    started = time.perf_counter()
    try:
        picture = load_picture(data)
    except PictureError as error:
        return error
    pixels = picture.image.tobytes()
    return Opened(picture.image.size, pixels, picture.notes, time.perf_counter() - started)


def main() -> None:
    """Serve the engine until it closes stdin."""
    parser = argparse.ArgumentParser(prog="python -m inference.serving.opener")
    parser.add_argument("--seconds", type=float, required=True, help="of processor time that a file may take")
    parser.add_argument("--memory", type=int, required=True, help="bytes that it may take")
    parser.add_argument("--nice", type=int, default=0, help="how much others go before")
    arguments = parser.parse_args()
    os.nice(arguments.nice)
    answers = answers_to_engine()
    gc.freeze()  # what the children share with this process is not written to
    serve(sys.stdin.buffer, answers, Limits(arguments.seconds, arguments.memory))


if __name__ == "__main__":
    main()
