"""One object of what was found on a picture."""

from __future__ import annotations

from dataclasses import FrozenInstanceError

import pytest
from PIL import Image

from inference.reading.lines import TextLine
from inference.reading.reading import Reading
from tests.readings import reading_of

LINES = (TextLine("Кот", (0.1, 0.1, 0.9, 0.2), 0.9, 0, "kot"), TextLine("спит", (0.1, 0.8, 0.9, 0.9), 0.9, 1))


def test_blocks_and_posts_are_made_with_it() -> None:
    reading = reading_of(LINES, [(0.0, 0.0, 1.0, 1.0)])
    assert [block.text for block in reading.blocks] == ["Кот", "спит"]
    assert [(post.author, len(post.lines)) for post in reading.posts] == [("kot", 2)]
    assert reading.listed_blocks is reading.blocks


def test_each_selection_has_its_own_blocks() -> None:
    reading = Reading((600, 400), lines=LINES[:1], listed=LINES)
    assert [block.text for block in reading.blocks] == ["Кот"]
    assert [block.text for block in reading.listed_blocks] == ["Кот", "спит"]


def test_nobody_changes_it() -> None:
    with pytest.raises(FrozenInstanceError):
        reading_of(LINES).lines = ()  # type: ignore[misc]  # which fails


def test_only_a_picture_upside_down_is_turned() -> None:
    image = Image.linear_gradient("L").convert("RGB")
    assert Reading(image.size).upright(image) is image
    turned = Reading(image.size, upside_down=True).upright(image)
    assert turned.tobytes() == image.transpose(Image.Transpose.ROTATE_180).tobytes()
