"""Colours are called what a person would call them."""

from __future__ import annotations

import pytest
from PIL import Image

from inference.common.colours import Colour
from inference.pictures.colours import palette


@pytest.mark.parametrize(
    ("rgb", "colour"),
    [
        ((0, 0, 0), Colour.BLACK),
        ((20, 10, 30), Colour.BLACK),
        ((128, 128, 128), Colour.GREY),
        ((250, 250, 245), Colour.WHITE),
        ((220, 20, 30), Colour.RED),
        ((255, 140, 0), Colour.ORANGE),
        ((110, 70, 30), Colour.BROWN),
        ((225, 185, 150), Colour.BEIGE),  # skin
        ((250, 230, 20), Colour.YELLOW),
        ((30, 140, 40), Colour.GREEN),
        ((120, 200, 240), Colour.LIGHT_BLUE),
        ((20, 40, 200), Colour.BLUE),
        ((130, 40, 180), Colour.VIOLET),
        ((250, 130, 190), Colour.PINK),
    ],
)
def test_a_picture_of_one_colour_is_of_that(rgb: tuple[int, int, int], colour: Colour) -> None:
    assert palette(Image.new("RGB", (90, 3), rgb)).colours == (colour,)


def test_of_many_colours_the_two_largest_are_told_the_larger_first() -> None:
    image = Image.new("RGB", (100, 100), "white")
    image.paste((20, 40, 200), (0, 0, 100, 30))
    image.paste((220, 20, 30), (0, 30, 100, 35))
    found = palette(image)
    assert found.colours == (Colour.WHITE, Colour.BLUE)
    assert not found.colourless
    many = Image.linear_gradient("L").resize((120, 10)).rotate(90, expand=True)
    rainbow = Image.merge("HSV", (many, *(Image.new("L", many.size, 220) for _ in range(2))))
    assert len(palette(rainbow.convert("RGB")).colours) <= 2


@pytest.mark.parametrize("size", [(1, 1), (1, 4000), (64, 64), (3000, 20)])
def test_what_is_grey_has_no_colours_whatever_its_size(size: tuple[int, int]) -> None:
    grey = Image.linear_gradient("L").resize(size).convert("RGB")
    assert palette(grey).colourless
    assert not palette(Image.new("RGB", size, (20, 40, 200))).colourless
