"""The process that opens files, with files that are more than it bears."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from io import BytesIO

import psutil
import pytest
from PIL import Image

from inference.common.types import PictureError
from inference.pictures.opening import load_picture
from inference.serving.openers import Openers
from inference.serving.protocol import Opened
from tests.drawing import draw_meme, gif_bytes, png_bytes
from tests.inference.fakes import picture
from tests.reliability.hostile import many_scans


@pytest.fixture
async def openers() -> AsyncIterator[Openers]:
    openers = Openers(replaced=lambda: None)
    await openers.start()
    await opened(openers, picture())  # a process has no name yet where it has only just been started
    yield openers
    await openers.stop()


async def opened(openers: Openers, data: bytes) -> Opened:
    room = asyncio.Event()
    room.set()
    return await openers.open(data, room)


def children(name: str) -> list[psutil.Process]:
    return [one for one in psutil.Process().children() if name in one.cmdline()]


async def test_a_file_comes_back_as_the_pixels_that_it_has_in_any_process(openers: Openers) -> None:
    data = png_bytes(draw_meme(width=300))
    found = await opened(openers, data)
    here = load_picture(data).image
    assert (found.size, found.pixels) == (here.size, here.tobytes())
    assert found.notes == () and found.seconds > 0
    frames = [Image.new("RGB", (8, 8), shade) for shade in ("red", "blue")]
    assert (await opened(openers, gif_bytes(frames))).notes == ("first_frame",)


async def test_what_takes_too_long_or_too_much_costs_one_sentence_and_no_process(openers: Openers) -> None:
    """Many scans are told by their number. A wide picture of 16 bits is told by nothing but its memory."""
    before = children("inference.serving.opener")
    wide = BytesIO()
    Image.new("LA", (7000, 7000)).save(wide, "PNG", compress_level=1)
    for data in (many_scans(500, 200), wide.getvalue()):
        with pytest.raises(PictureError) as refusal:
            await opened(openers, data)
        assert refusal.value.code == "too_costly"
    assert set(before) <= set(children("inference.serving.opener"))
    assert (await opened(openers, picture(size=(9, 7)))).size == (9, 7)


async def test_one_that_was_ended_opens_the_same_file_again(openers: Openers) -> None:
    (process,) = children("inference.serving.opener")
    os.kill(process.pid, signal.SIGKILL)
    assert (await opened(openers, picture(size=(9, 7)))).size == (9, 7)
    assert children("inference.serving.opener") != [process]


async def test_whoever_leaves_does_not_leave_their_picture_to_the_next(openers: Openers) -> None:
    leaving = asyncio.create_task(opened(openers, picture(size=(11, 11))))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    leaving.cancel()
    assert (await opened(openers, picture(size=(9, 7)))).size == (9, 7)


async def test_nothing_is_opened_while_there_is_no_room(openers: Openers) -> None:
    room = asyncio.Event()
    waiting = asyncio.create_task(openers.open(picture(size=(9, 7)), room))
    refused = asyncio.create_task(openers.open(b"", room))
    done, _ = await asyncio.wait([waiting, refused], timeout=0.05)
    assert not done
    room.set()
    assert (await waiting).size == (9, 7)
    with pytest.raises(PictureError):
        await refused
