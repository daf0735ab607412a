"""Changes of a picture that leave every letter on it readable."""

from __future__ import annotations

import io
import random

from PIL import Image, ImageEnhance, ImageFilter

from train_scripts.training.config import AugmentConfig

__all__ = ["augment"]


def augment(image: Image.Image, config: AugmentConfig, seed: str, *, size: int) -> Image.Image:
    """An RGB picture as it might look in another light, size or file; the same for the same ``seed``.

    Never mirrored, turned or cut: a letter must stay that letter, and stay on the picture. ``size``: pixels
    of the square that the encoder sees, which `blur` is told in.
    """
    chance = random.Random(seed)

    def wanted(strength: float) -> bool:
        # Both draws are made whatever the strength: changing one setting leaves the others' chances alone.
        return chance.random() < config.probability and strength > 0

    def around(strength: float) -> float:
        return 1 + chance.uniform(-strength, strength)

    # Nothing that follows needs more detail than twice what the encoder sees, and all of it is faster so.
    image = image.copy()
    image.thumbnail((2 * size, 2 * size), Image.Resampling.BOX)
    scale = max(image.size) / size
    for strength, change in (
        (config.brightness, ImageEnhance.Brightness),
        (config.contrast, ImageEnhance.Contrast),
        (config.colour, ImageEnhance.Color),
    ):
        factor = around(strength)
        if wanted(strength):
            image = change(image).enhance(factor)
    radius = chance.uniform(0, config.blur)
    if wanted(config.blur):
        image = image.filter(ImageFilter.GaussianBlur(radius * scale))
    part, across, down = chance.uniform(0, config.shrink), chance.random(), chance.random()
    if wanted(config.shrink):
        image = _shrunk(image, part, across, down)
    quality = chance.randint(config.jpeg, 95) if config.jpeg else 95
    if wanted(config.jpeg):
        file = io.BytesIO()
        image.save(file, "JPEG", quality=quality)
        image = Image.open(file).convert("RGB")  # noqa: TID251 - written just now, by us
    return image


def _shrunk(image: Image.Image, part: float, across: float, down: float) -> Image.Image:
    """The whole picture smaller, somewhere inside its own frame, on its mean colour."""
    width, height = image.size
    inner = (max(1, round(width * (1 - part))), max(1, round(height * (1 - part))))
    colour = image.resize((1, 1), Image.Resampling.BOX).getpixel((0, 0))
    framed = Image.new("RGB", image.size, colour if isinstance(colour, tuple) else None)
    place = (round((width - inner[0]) * across), round((height - inner[1]) * down))
    framed.paste(image.resize(inner, Image.Resampling.BILINEAR), place)
    return framed
