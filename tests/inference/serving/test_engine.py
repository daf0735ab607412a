"""The engine with real worker processes and captioners that misbehave on demand."""

import asyncio
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from inference.common.processors import available
from inference.common.types import (
    CannotTalk,
    DecodingOptions,
    EngineBusy,
    EngineError,
    ModelNotLoaded,
    PictureError,
    PictureTimeout,
    Turn,
    UnknownModel,
    Version,
    WorkerCrashed,
)
from inference.serving.engine import Engine, EngineSettings
from tests.inference.fakes import (
    GARBLE,
    HANG,
    LONG,
    NOISY,
    POISON,
    POISON_ONCE,
    RAISE,
    WAIT,
    picture,
    promote,
    write_checkpoint,
)

ROOT = Path(__file__).parents[3]
FAKES = "tests.inference.fakes"


class House:
    """A models folder, the fakes' log and gate, and settings that fit them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.models_dir = folder / "models"
        self.checkpoint = write_checkpoint(self.models_dir, "fake")
        self.gate = folder / "gate"
        self.log = folder / "log"
        self.settings = EngineSettings(
            model="fake", models_dir=self.models_dir, captioner=f"{FAKES}:load", picture_timeout=60
        )

    def entries(self, key: str) -> list[Any]:
        if not self.log.exists():
            return []
        rows = [json.loads(line) for line in self.log.read_text().splitlines()]
        return [row[key] for row in rows if key in row]

    def batches(self) -> list[list[int]]:
        """The widths of the pictures of each batch, in order."""
        return [[width for width, _ in batch] for batch in self.entries("batch")]


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> House:
    house = House(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("FAKE_LOG", str(house.log))
    monkeypatch.setenv("FAKE_GATE", str(house.gate))
    return house


@pytest.fixture
async def engine(house: House) -> AsyncIterator[Engine]:
    async with Engine(house.settings) as engine:
        yield engine


async def until(condition: Callable[[], object], what: str, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        await asyncio.sleep(0.01)


def is_gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


async def hold(engine: Engine, house: House) -> "asyncio.Task[Any]":
    """Keep the worker busy with a 1-pixel-wide picture until the gate opens."""
    held = asyncio.create_task(engine.caption(picture(WAIT, (1, 1))))
    await until(lambda: [1] in house.batches(), "the held picture reaches the worker")
    return held


async def test_a_picture_gets_its_caption(engine: Engine, house: House) -> None:
    caption = await engine.caption(picture(size=(40, 30)))
    assert caption.summary == "40 x 30"
    assert caption.words == ("СЛОВА", "вторые 40")
    assert (caption.model, caption.checkpoint) == ("fake", house.checkpoint)
    assert Version(caption.checkpoint, caption.program) == engine.version()
    assert caption.options == DecodingOptions()
    assert list(caption.seconds) == ["decode", "read", "encode", "generate", "total"]
    assert 0 < caption.seconds["decode"] <= caption.seconds["total"]
    assert caption.notes == ("upside_down",)
    assert engine.waiting == 0


async def test_a_worker_that_nobody_asks_gets_ready_for_its_first_picture(
    engine: Engine, house: House
) -> None:
    await until(lambda: house.entries("warm"), "the model warms up")
    assert house.entries("warm") == ["fake"]
    assert (await engine.caption(picture())).summary == "32 x 24"


async def test_options_reach_the_captioner_and_come_back(engine: Engine) -> None:
    options = DecodingOptions(strategy="sample", seed=7, top_p=0.9)
    assert (await engine.caption(picture(), options=options)).options == options


async def test_a_model_that_talks_answers_from_what_was_said_before(house: House) -> None:
    settings = replace(house.settings, captioner=f"{FAKES}:load_talking")
    before = (Turn("", "Кот сидит."), Turn("Где?", "На столе."))
    async with Engine(settings) as engine:
        answer = await engine.ask(picture(size=(40, 30)), "А кто это?", turns=before)
        described = await engine.caption(picture())
        with pytest.raises(ValueError, match="1000 characters at most"):
            await engine.ask(picture(), "?" * 1001)
    assert answer.text == "40 x 30: А кто это?, до того 2"
    assert (answer.model, answer.checkpoint) == ("fake", house.checkpoint)
    assert answer.program == described.program
    assert list(answer.seconds) == ["decode", "read", "generate", "total"]
    assert house.entries("question") == ["А кто это?"]
    assert house.entries("turns") == [[["", "Кот сидит."], ["Где?", "На столе."]]]


async def test_a_model_that_describes_only_says_that_it_cannot_answer(engine: Engine) -> None:
    with pytest.raises(CannotTalk, match="The model fake describes pictures and answers no questions"):
        await engine.ask(picture(), "Кто это?")


async def test_a_question_whose_picture_kills_the_worker_fails_alone(house: House) -> None:
    settings = replace(house.settings, captioner=f"{FAKES}:load_talking")
    async with Engine(settings) as engine:
        held = await hold(engine, house)
        poisoned = asyncio.create_task(engine.ask(picture(POISON, (2, 2)), "Кто это?"))
        good = asyncio.create_task(engine.ask(picture(size=(3, 3)), "А это?"))
        described = asyncio.create_task(engine.caption(picture(size=(4, 4))))
        await until(lambda: engine.queued == 3, "three wait")
        house.gate.touch()
        await held
        with pytest.raises(WorkerCrashed):
            await poisoned
        assert (await good).text == "3 x 3: А это?, до того 0"
        assert (await described).summary == "4 x 4"


async def test_the_notes_of_the_file_come_before_those_of_the_model(engine: Engine) -> None:
    from io import BytesIO

    from PIL import Image

    frames = [Image.new("RGB", (8, 8), shade) for shade in ("red", "blue")]
    buffer = BytesIO()
    frames[0].save(buffer, "GIF", save_all=True, append_images=frames[1:])
    assert (await engine.caption(buffer.getvalue())).notes == ("first_frame", "upside_down")


async def test_a_file_that_is_no_picture_is_refused_and_its_companions_are_not(
    engine: Engine, house: House
) -> None:
    held = await hold(engine, house)
    together = [engine.caption(data) for data in (b"", b"a letter", picture()[:40], picture(size=(9, 9)))]
    waiting = asyncio.gather(*together, return_exceptions=True)
    await until(lambda: engine.waiting == 2, "what is no picture is answered while the worker is busy")
    house.gate.touch()
    *refusals, good = await waiting
    await held
    codes = [refusal.code for refusal in refusals if isinstance(refusal, PictureError)]
    assert codes == ["empty", "not_a_picture", "truncated"]
    assert getattr(good, "summary", None) == "9 x 9"
    assert house.batches() == [[1], [9]]
    assert len(house.entries("load")) == 1, "no refusal costs the worker"


async def test_what_waits_goes_together_up_to_the_batch_size(engine: Engine, house: House) -> None:
    held = await hold(engine, house)
    rest = [asyncio.create_task(engine.caption(picture(size=(width, 5)))) for width in range(11, 17)]
    await until(lambda: engine.queued == 6, "all wait")
    house.gate.touch()
    await held
    captions = await asyncio.gather(*rest)
    assert [caption.summary for caption in captions] == [f"{width} x 5" for width in range(11, 17)]
    assert house.batches() == [[1], [11, 12, 13, 14], [15, 16]]


async def test_only_equal_models_and_options_share_a_batch(engine: Engine, house: House) -> None:
    write_checkpoint(house.models_dir, "other")
    held = await hold(engine, house)
    greedy = DecodingOptions(strategy="greedy")
    requests: list[tuple[int, dict[str, Any]]] = [
        (11, {}),
        (12, {"options": greedy}),
        (13, {"model": "other"}),
        (14, {}),
        (15, {"options": greedy}),
    ]
    rest = [asyncio.create_task(engine.caption(picture(size=(w, 5)), **how)) for w, how in requests]
    await until(lambda: engine.queued == 5, "all wait")
    house.gate.touch()
    captions = await asyncio.gather(*rest)
    await held
    assert house.batches() == [[1], [11, 14], [12, 15], [13]]
    assert [caption.model for caption in captions] == ["fake", "fake", "other", "fake", "fake"]
    assert house.entries("load") == ["fake", "other"], "a model is loaded once"


async def test_a_full_queue_says_so_and_takes_pictures_again_later(house: House) -> None:
    async with Engine(replace(house.settings, queue_size=2)) as engine:
        held = await hold(engine, house)
        second = asyncio.create_task(engine.caption(picture()))
        await until(lambda: engine.waiting == 2, "both are in")
        with pytest.raises(EngineBusy, match="2 pictures are waiting"):
            await engine.caption(picture())
        house.gate.touch()
        await asyncio.gather(held, second)
        assert (await engine.caption(picture(size=(5, 5)))).summary == "5 x 5"


async def test_a_caller_who_leaves_gives_the_place_back(engine: Engine, house: House) -> None:
    held = await hold(engine, house)
    leaver = asyncio.create_task(engine.caption(picture(size=(13, 13))))
    await until(lambda: engine.queued == 1, "it waits")
    leaver.cancel()
    await asyncio.gather(leaver, return_exceptions=True)
    assert engine.waiting == 1
    house.gate.touch()
    await held
    await engine.caption(picture(size=(14, 14)))
    assert house.batches() == [[1], [14]], "nobody works for one who left"


async def test_a_worker_killed_in_the_middle_of_a_picture_costs_nothing(engine: Engine, house: House) -> None:
    held = await hold(engine, house)
    first = engine.worker_pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    house.gate.touch()
    assert (await held).summary == "1 x 1"
    assert engine.worker_pid not in {None, first}
    assert house.batches() == [[1], [1]]


async def test_a_crash_that_does_not_come_again_is_not_noticed(engine: Engine) -> None:
    assert (await engine.caption(picture(POISON_ONCE))).summary == "32 x 24"


async def test_of_a_broken_batch_only_the_poisonous_picture_fails(engine: Engine, house: House) -> None:
    held = await hold(engine, house)
    colours = [(80, 80, 80), (81, 80, 80), POISON, (82, 80, 80)]
    rest = [
        asyncio.create_task(engine.caption(picture(colour, (11 + place, 5))))
        for place, colour in enumerate(colours)
    ]
    await until(lambda: engine.queued == 4, "all wait")
    house.gate.touch()
    await held
    results = await asyncio.gather(*rest, return_exceptions=True)
    assert [getattr(result, "summary", None) for result in results] == ["11 x 5", "12 x 5", None, "14 x 5"]
    assert isinstance(results[2], WorkerCrashed)
    assert "killed by signal 9" in str(results[2])
    assert house.batches() == [[1], [11, 12, 13, 14], [11], [12], [13], [14]]
    assert (await engine.caption(picture())).summary == "32 x 24"


async def test_a_picture_that_hangs_fails_alone(house: House) -> None:
    async with Engine(replace(house.settings, picture_timeout=1.5)) as engine:
        await until(lambda: engine.healthy, "the worker is ready")
        rest = [
            asyncio.create_task(engine.caption(picture(colour, (width, 5))))
            for width, colour in ((10, HANG), (11, HANG), (12, (80, 80, 80)))
        ]
        results = await asyncio.gather(*rest, return_exceptions=True)
        assert isinstance(results[0], PictureTimeout) and isinstance(results[1], PictureTimeout)
        assert "1.5 seconds" in str(results[0])
        assert getattr(results[2], "summary", None) == "12 x 5"
        assert (await engine.caption(picture())).summary == "32 x 24"


async def long_one(engine: Engine, house: House) -> "asyncio.Task[Any]":
    """A picture that has taken so long that others go before."""
    long = asyncio.create_task(engine.caption(picture(LONG, (1, 1))))
    await until(lambda: house.batches() == [[1]], "it reaches the worker")
    return long


async def test_what_takes_long_holds_up_nobody_else(engine: Engine, house: House) -> None:
    long = await long_one(engine, house)
    for width in (10, 11):
        assert (await engine.caption(picture(size=(width, 5)))).summary == f"{width} x 5"
    another = asyncio.create_task(engine.caption(picture(LONG, (2, 1))))
    assert (await engine.caption(picture(size=(12, 5)))).summary == "12 x 5"
    assert not long.done() and not another.done()
    house.gate.touch()
    assert [(await one).summary for one in (long, another)] == ["1 x 1", "2 x 1"]
    assert engine.waiting == 0


async def test_however_many_take_long_at_once_all_are_described(engine: Engine, house: House) -> None:
    long = await long_one(engine, house)
    more = [asyncio.create_task(engine.caption(picture(LONG, (width, 1)))) for width in range(2, 30)]
    await until(lambda: len(house.batches()) > 3, "others go before the first one")
    house.gate.touch()
    assert [(await one).summary for one in (long, *more)] == [f"{width} x 1" for width in range(1, 30)]


async def test_what_takes_longer_than_a_picture_may_is_given_up_although_others_went_before(
    house: House,
) -> None:
    async with Engine(replace(house.settings, picture_timeout=1.5)) as engine:
        await until(lambda: engine.healthy, "the worker is ready")
        first = engine.worker_pid
        long = await long_one(engine, house)
        assert (await engine.caption(picture(size=(10, 5)))).summary == "10 x 5"
        with pytest.raises(PictureTimeout, match=r"1\.5 seconds"):
            await long
        assert (await engine.caption(picture(size=(11, 5)))).summary == "11 x 5"
        assert engine.worker_pid != first


async def test_a_worker_that_dies_of_what_went_before_costs_the_long_one_only_time(
    engine: Engine, house: House
) -> None:
    long = await long_one(engine, house)
    with pytest.raises(WorkerCrashed):
        await engine.caption(picture(POISON))
    house.gate.touch()
    assert (await long).summary == "1 x 1"


async def test_a_worker_that_talks_nonsense_is_replaced(
    engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(WorkerCrashed):
        await engine.caption(picture(GARBLE))
    assert "no answer" in caplog.text
    assert (await engine.caption(picture())).summary == "32 x 24"


async def test_an_ordinary_exception_costs_one_picture_and_not_the_worker(
    engine: Engine, house: House
) -> None:
    held = await hold(engine, house)
    pid = engine.worker_pid
    bad = asyncio.create_task(engine.caption(picture(RAISE, (11, 5))))
    good = asyncio.create_task(engine.caption(picture(size=(12, 5))))
    await until(lambda: engine.queued == 2, "all wait")
    house.gate.touch()
    assert (await good).summary == "12 x 5"
    with pytest.raises(EngineError, match="the fake was told to raise"):
        await bad
    await held
    assert engine.worker_pid == pid


async def test_the_worker_has_as_many_threads_as_processors_and_they_hardly_spin(engine: Engine) -> None:
    assert engine.worker_pid is not None
    worker = psutil.Process(engine.worker_pid)
    command = worker.cmdline()
    assert command[command.index("--threads") + 1] == str(available())
    assert worker.environ()["GOMP_SPINCOUNT"] == "3000"


async def test_a_worker_that_dies_idle_is_replaced_before_the_next_picture(engine: Engine) -> None:
    await until(lambda: engine.healthy, "the worker is ready")
    first = engine.worker_pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    await until(lambda: engine.healthy and engine.worker_pid != first, "another worker is ready")
    assert (await engine.caption(picture())).summary == "32 x 24"


async def test_an_engine_starts_again_after_it_stopped(house: House) -> None:
    engine = Engine(house.settings)
    pids = []
    for _ in range(2):
        await engine.start()
        assert (await engine.caption(picture())).model == "fake"
        pids.append(engine.worker_pid)
        await engine.stop()
        assert not engine.healthy
    assert len(set(pids)) == 2 and all(pid is not None and is_gone(pid) for pid in pids)
    with pytest.raises(EngineError, match="not running"):
        await engine.caption(picture())


async def test_whoever_waits_when_the_engine_stops_is_told(house: House) -> None:
    engine = Engine(house.settings)
    await engine.start()
    held = await hold(engine, house)
    queued = asyncio.create_task(engine.caption(picture()))
    await until(lambda: engine.waiting == 2, "both are in")
    pid = engine.worker_pid
    assert pid is not None
    await engine.stop()
    for task in (held, queued):
        with pytest.raises(EngineError, match="stopping"):
            await task
    assert is_gone(pid)


async def test_an_unknown_model_is_refused_with_the_names_there_are(engine: Engine, house: House) -> None:
    for name in ("nobody", "../models/fake", "/", ".."):
        with pytest.raises(UnknownModel, match="choose one of fake"):
            await engine.caption(picture(), model=name)
        with pytest.raises(UnknownModel):
            engine.checkpoint(name)
    with pytest.raises(UnknownModel, match="nobody"):
        await Engine(replace(house.settings, model="nobody")).start()


async def test_a_model_that_cannot_be_loaded_is_a_sentence(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    async with Engine(replace(house.settings, captioner=f"{FAKES}:load_broken")) as engine:
        with pytest.raises(ModelNotLoaded, match=r"model fake cannot be loaded: config.json has no"):
            await engine.caption(picture())
        assert not engine.healthy
    assert "config.json has no 'encoder'" in caplog.text


async def test_health_is_that_of_the_default_model_as_it_is_now(house: House) -> None:
    """Broken at the start and mended by a promotion; then broken, and read again after another model."""
    write_checkpoint(house.models_dir, "other")
    promote(house.models_dir, "fake", "broken")
    async with Engine(replace(house.settings, loaded_models=1)) as engine:
        with pytest.raises(ModelNotLoaded):
            await engine.caption(picture())
        await engine.caption(picture(), model="other")
        assert not engine.healthy
        promote(house.models_dir, "fake", "better")
        await engine.caption(picture())
        assert engine.healthy
        promote(house.models_dir, "fake", "broken")
        await engine.caption(picture())
        await engine.caption(picture(), model="other")
        assert engine.healthy
        with pytest.raises(ModelNotLoaded):
            await engine.caption(picture())
        assert not engine.healthy


@pytest.mark.parametrize(
    ("captioner", "reason"),
    [
        ("no_such_module:load", "no_such_module cannot be imported .ModuleNotFoundError: No module named"),
        (f"{FAKES}:nobody", f"{FAKES} has no function nobody"),
        (f"{FAKES}:__name__", f"{FAKES} has no function __name__"),
        (FAKES, f"{FAKES} has no function of no name"),
        (":load", "nothing cannot be imported .ValueError: Empty module name"),
    ],
)
async def test_a_captioner_that_does_not_exist_is_a_sentence(
    house: House, captioner: str, reason: str
) -> None:
    sentence = f"CAPTIONER is {captioner!r}, and {reason}.*: write module:function"
    async with Engine(replace(house.settings, captioner=captioner)) as engine:
        with pytest.raises(EngineError, match=f"^{sentence}"):
            await engine.check_loader()
        with pytest.raises(ModelNotLoaded, match=sentence):
            await engine.caption(picture())


async def test_a_worker_that_dies_while_it_imports_is_no_captioner_that_does_not_exist(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be for want of memory: the next one may do better."""
    (tmp_path / "deadly.py").write_text("import os\nos._exit(9)\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    async with Engine(replace(house.settings, captioner="deadly:load")) as engine:
        await engine.check_loader()
        (tmp_path / "deadly.py").write_text(f"from {FAKES} import load\n")
        await engine.caption(picture())


async def test_a_worker_that_cannot_start_is_tried_once_more_for_each_picture_and_not_in_a_loop(
    house: House,
) -> None:
    async with Engine(replace(house.settings, captioner=f"{FAKES}:load_deadly")) as engine:
        await until(lambda: engine.worker_pid is None, "the first worker is dead")
        with pytest.raises(ModelNotLoaded, match=r"died while it loaded fake \(killed by signal 9\)"):
            await engine.caption(picture())
        assert len(house.entries("load")) == 3, "at the start, and twice for the picture"
        await until(lambda: engine.worker_pid is None, "the last worker is dead")
        assert not engine.healthy


async def test_a_model_that_never_loads_gives_up_in_time(house: House) -> None:
    settings = replace(house.settings, captioner=f"{FAKES}:load_never", start_timeout=1.0)
    async with Engine(settings) as engine:
        with pytest.raises(ModelNotLoaded, match="not loaded within 1 seconds"):
            await engine.caption(picture())


async def test_a_broken_model_costs_nobody_else(engine: Engine, house: House) -> None:
    write_checkpoint(house.models_dir, "bad", weights="broken")
    write_checkpoint(house.models_dir, "worse", weights="deadly")
    held = await hold(engine, house)
    names = ["fake", "bad", "fake", "worse", "fake"]
    rest = [
        asyncio.create_task(engine.caption(picture(size=(11 + place, 5)), model=name))
        for place, name in enumerate(names)
    ]
    await until(lambda: engine.queued == 5, "all wait")
    house.gate.touch()
    results = await asyncio.gather(held, *rest, return_exceptions=True)
    summaries = [getattr(result, "summary", type(result).__name__) for result in results]
    assert summaries == ["1 x 1", "11 x 5", "ModelNotLoaded", "13 x 5", "ModelNotLoaded", "15 x 5"]
    assert "bad cannot be loaded: config.json has no 'encoder'." in str(results[2])


async def test_no_more_models_stay_in_memory_than_allowed(house: House) -> None:
    for name in ("second", "third"):
        write_checkpoint(house.models_dir, name)
    async with Engine(replace(house.settings, loaded_models=2)) as engine:
        for name in ("fake", "second", "fake", "third", "fake", "second"):
            assert (await engine.caption(picture(), model=name)).model == name
    assert house.entries("load") == ["fake", "second", "third", "second"], "the one unused for longest leaves"


async def test_a_promoted_checkpoint_is_taken_up_and_what_was_queued_is_not_lost(
    engine: Engine, house: House
) -> None:
    held = await hold(engine, house)
    queued = [asyncio.create_task(engine.caption(picture(size=(width, 5)))) for width in (11, 12)]
    await until(lambda: engine.queued == 2, "they wait")
    promoted = promote(house.models_dir, "fake", "better")
    assert engine.checkpoint() == promoted != house.checkpoint
    later = [asyncio.create_task(engine.caption(picture(size=(width, 5)))) for width in (13, 14)]
    await until(lambda: engine.queued == 4, "all wait")
    house.gate.touch()
    captions = await asyncio.gather(held, *queued, *later)
    assert [caption.checkpoint for caption in captions] == [house.checkpoint] * 3 + [promoted] * 2
    assert house.batches() == [[1], [11, 12], [13, 14]]
    assert house.entries("load") == ["fake", "fake"], "each of the weights once"


async def test_a_promoted_checkpoint_that_cannot_be_loaded_leaves_the_old_one_at_work(
    engine: Engine, house: House, caplog: pytest.LogCaptureFixture
) -> None:
    await engine.caption(picture())
    promote(house.models_dir, "fake", "broken")
    for _ in range(3):
        assert (await engine.caption(picture())).checkpoint == house.checkpoint
    await until(lambda: "The new weights of fake cannot be loaded" in caplog.text, "the operator reads why")
    assert house.entries("load") == ["fake", "fake"], "it is not tried again for every picture"
    promoted = promote(house.models_dir, "fake", "mended")
    assert (await engine.caption(picture())).checkpoint == promoted


async def test_a_model_whose_folder_is_being_replaced_is_waited_for(engine: Engine, house: House) -> None:
    await engine.caption(picture())
    folder, aside = house.models_dir / "fake", house.models_dir / "aside"
    folder.rename(aside)
    waiting = asyncio.create_task(engine.caption(picture()))
    done, _ = await asyncio.wait([waiting], timeout=0.2)
    assert not done
    aside.rename(folder)
    assert (await waiting).model == "fake"


async def test_a_model_that_was_taken_away_is_unknown(engine: Engine, house: House) -> None:
    write_checkpoint(house.models_dir, "other")
    assert (await engine.caption(picture(), model="other")).model == "other"
    shutil.rmtree(house.models_dir / "other")
    with pytest.raises(UnknownModel):
        await engine.caption(picture(), model="other")
    assert (await engine.caption(picture())).model == "fake"


async def test_the_models_there_are(engine: Engine, house: House) -> None:
    write_checkpoint(house.models_dir, "other", card="# Other\n\nDescribes otherwise.\n")
    found = {model.name: model.description for model in engine.models()}
    assert found == {"fake": "", "other": "Describes otherwise."}


async def test_what_libraries_print_does_not_disturb(
    engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "inference.serving.worker"):
        assert (await engine.caption(picture(NOISY))).summary == "32 x 24"
        await until(lambda: "so does its C code" in caplog.text, "stdout of the worker is in the log")


async def test_the_workers_log_keeps_its_levels(engine: Engine, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, "inference.serving.worker"), pytest.raises(EngineError):
        await engine.caption(picture(RAISE))
    await until(lambda: "told to raise" in caplog.text, "the traceback is in the log")
    levels = {record.levelno for record in caplog.records if "told to raise" in record.message}
    assert levels == {logging.ERROR}


async def test_threads_are_those_of_the_setting(house: House) -> None:
    async with Engine(replace(house.settings, threads=3)) as engine:
        assert (await engine.caption(picture())).text.endswith("потоков 3")


ORPHANING_PARENT = """
import asyncio, sys
from pathlib import Path
from inference.serving.engine import Engine, EngineSettings
from inference.common.processors import available
from tests.inference.fakes import HANG, picture

async def main():
    models_dir, captioner = Path(sys.argv[1]), "tests.inference.fakes:load"
    async with Engine(EngineSettings(model="fake", models_dir=models_dir, captioner=captioner)) as engine:
        print(engine.worker_pid, flush=True)
        await engine.caption(picture(HANG, (7, 7)))

asyncio.run(main())
"""


async def test_a_worker_whose_parent_was_killed_leaves_even_in_the_middle_of_a_picture(house: House) -> None:
    parent = subprocess.Popen(  # noqa: ASYNC220 - nothing else runs on this loop
        [sys.executable, "-c", ORPHANING_PARENT, str(house.models_dir)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert parent.stdout is not None
        worker = int(parent.stdout.readline())
        await until(lambda: [7] in house.batches(), "the worker hangs in its picture")
        assert not is_gone(worker)
    finally:
        parent.kill()
        parent.communicate()
    await until(lambda: is_gone(worker), "the orphan has ended", seconds=5)


def test_the_engine_never_imports_torch() -> None:
    code = (
        "import sys, inference.serving.engine, inference.checkpoints.models\n"
        "print('torch' in sys.modules, 'PIL' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
