"""What ``python -m tests.benchmarks versions`` runs in the checkout of each version.

``PYTHONPATH`` names the checkout, so this file imports of the program only what both versions have. It
answers each line of its input with a line of JSON.
"""

from __future__ import annotations

import asyncio
import json
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


def captioner(models: Path, model: str) -> Callable[[list[str]], dict[str, Any]]:
    """The model in this process on one thread; a line names a picture."""
    from inference.captioners.captioner import load_captioner
    from inference.pictures.opening import load_picture

    loaded = load_captioner(model, models, threads=1)

    def caption(paths: list[str]) -> dict[str, Any]:
        data = Path(paths[0]).read_bytes()
        started, worked = time.perf_counter(), time.process_time()
        (found,) = loaded.caption([load_picture(data).image])
        return {
            "seconds": time.perf_counter() - started,
            "processor": time.process_time() - worked,
            "text": found.text,
            "words": list(found.words),
            "megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3,
        }

    return caption


def captioner_without_bfloat16(models: Path, model: str) -> Callable[[list[str]], dict[str, Any]]:
    """The same of a version that PyTorch runs, as on a processor that does not multiply bfloat16."""
    import torch

    vars(torch.cpu)["get_capabilities"] = dict
    return captioner(models, model)


def bot(models: Path, model: str) -> Callable[[list[str]], dict[str, Any]]:
    """The whole bot with the stand-in of Telegram; a line names the pictures that it gets, one by one."""
    from inference.serving.engine import EngineSettings
    from tests.benchmarks.measure import whole_bot

    def run(paths: list[str]) -> dict[str, Any]:
        pictures = [Path(path).read_bytes() for path in paths]
        with tempfile.TemporaryDirectory() as folder:
            settings = EngineSettings(model=model, models_dir=models)
            found = asyncio.run(whole_bot(settings, pictures, Path(folder)))
        assert found.bot is not None
        assert found.worker is not None
        return {
            "first_answer": found.first_answer,
            "latencies": found.latencies,
            "bot": found.bot.rss / 1e6,
            "worker": found.worker.rss / 1e6,
        }

    return run


def engine(models: Path, model: str) -> Callable[[list[str]], dict[str, Any]]:
    """The engine with a worker on all processors; a line names the pictures that it gets, one by one."""
    import os

    from inference.serving.engine import EngineSettings
    from tests.benchmarks.measure import engine_alone

    def run(paths: list[str]) -> dict[str, Any]:
        pictures = [Path(path).read_bytes() for path in paths]
        settings = EngineSettings(model=model, models_dir=models, picture_timeout=600)
        cores = len(os.sched_getaffinity(0))
        return {"seconds": asyncio.run(engine_alone(settings, pictures, cores)).seconds("total")}

    return run


KINDS = {
    "captioner": captioner,
    "captioner_without_bfloat16": captioner_without_bfloat16,
    "bot": bot,
    "engine": engine,
}


def main() -> None:
    """``probe.py KIND MODELS MODEL``"""
    kind, models, model = sys.argv[1:]
    answer = KINDS[kind](Path(models), model)
    for line in sys.stdin:
        print(json.dumps(answer(json.loads(line)), ensure_ascii=False), flush=True)


if __name__ == "__main__":
    main()
