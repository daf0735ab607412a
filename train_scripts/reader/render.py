"""Lines of text as they stand on memes: drawn with many fonts on plain, coloured and photographed grounds,
outlined, shadowed, turned, blurred, small, and damaged by JPEG; cut out as the detector would.
"""

from __future__ import annotations

import io
import math
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from inference.common.errors import UserError
from inference.reading.regions import LINE_HEIGHT
from train_scripts.reader.text import CHARACTERS, Corpus, line_of_text

Colour = tuple[int, int, int]
_WIDEST = 800  # pixels of a line's picture
_TRIES = 30  # fonts looked at for one that has every character of a line
_LETTERS = "агжкмрщяыБДЖИЛ", "aghkmrwyBDGR0159"
_NOWHERE = "\U000fffff"  # what no font has: drawn as the box for characters that are missing
_TALL = re.compile("[А-ЯA-ZЁІЇЄҐЎбвёйіїґўbdfhijklt0-9&%$€£₽₴#@/\\\\|()\\[\\]{}]")
_DEEP = frozenset("рудцщфpqgyjЦЩДQ,;()@$/\\|[]{}")
_WHITE, _BLACK = (255, 255, 255), (0, 0, 0)


def find_fonts(folders: Sequence[Path]) -> list[Path]:
    """The font files below the folders that really have Cyrillic, Latin and digits, each letter its own.

    Raises:
        UserError: there is none.
    """
    found = []
    for folder in folders:
        for path in sorted(folder.rglob("*")):
            if path.suffix.lower() in {".ttf", ".otf"} and _has_letters(path):
                found.append(path)
    if not found:
        raise UserError(
            f"No font in {', '.join(map(str, folders))} has Cyrillic letters, Latin ones and digits: install "
            "one, as DejaVu, or name its folder with --fonts."
        )
    return found


def _has_letters(path: Path) -> bool:
    try:
        font = ImageFont.truetype(str(path), 24, layout_engine=ImageFont.Layout.BASIC)
        # A font that lacks letters draws the same box for all of them.
        return all(len({bytes(font.getmask(one)) for one in group}) == len(group) for group in _LETTERS)
    except OSError:
        return False


@lru_cache(maxsize=1024)
def characters_of(path: Path) -> frozenset[str]:
    """The characters of :data:`CHARACTERS` that a font has."""
    font = ImageFont.truetype(str(path), 24, layout_engine=ImageFont.Layout.BASIC)
    missing = bytes(font.getmask(_NOWHERE))
    return frozenset(one for one in CHARACTERS if one == " " or bytes(font.getmask(one)) != missing)


@dataclass(frozen=True)
class _Style:
    ground: Image.Image
    ink: Colour
    stroke: int
    edge: Colour | None
    shadow: bool = False


class LineRenderer:
    """Draws one line after the other.

    Raises:
        UserError: on construction, when there are no grounds.
    """

    def __init__(
        self, seed: int, corpus: Corpus, fonts: Sequence[Path], grounds: Sequence[Image.Image]
    ) -> None:
        if not grounds:
            raise UserError(
                "On none of the pictures is there room without words to write on: add larger pictures."
            )
        self._random = random.Random(seed)
        self._corpus = corpus
        self._fonts = fonts
        self._grounds = grounds

    def draw(self) -> tuple[Image.Image, str]:
        """A picture LINE_HEIGHT pixels high and at most 800 wide, and what it says."""
        while True:
            text = line_of_text(self._random, self._corpus)
            size = self._random.choice([18, 22, 26, 30, 34, 38, 44])
            path = self._font_for(text)
            if path is None:
                continue
            font = ImageFont.truetype(str(path), size, layout_engine=ImageFont.Layout.BASIC)
            line = self._line(text, font, size)
            if line is not None:
                return self._damaged(line), text

    def _font_for(self, text: str) -> Path | None:
        """A font that has every character of the text; None where none is found soon."""
        for _ in range(_TRIES):
            path = self._random.choice(self._fonts)
            if characters_of(path).issuperset(text):
                return path
        return None

    def _line(self, text: str, font: ImageFont.FreeTypeFont, size: int) -> Image.Image | None:
        pick = self._random
        length = font.getlength(text)
        ascent, descent = font.getmetrics()
        margin, space = int(size * 0.8) + 6, int(size * 0.5) + 8
        style = self._style((int(length) + 2 * margin, ascent + descent + 2 * space), size)
        base = space + ascent
        rows = [(text, float(base), margin)]
        if pick.random() < 0.4:  # its neighbours look into the cut
            leading = pick.uniform(1.06, 1.29) * size
            rows += [
                (line_of_text(pick, self._corpus), base + step, margin + pick.randint(-size, size))
                for step in (-leading, leading)
                if pick.random() < 0.75
            ]
        pen = ImageDraw.Draw(style.ground)
        for row, y, x in rows:
            if style.shadow:
                pen.text((x + size * 0.06, y + size * 0.06), row, font=font, fill=_BLACK, anchor="ls")
            pen.text(
                (x, y),
                row,
                font=font,
                fill=style.ink,
                anchor="ls",
                stroke_width=style.stroke,
                stroke_fill=style.edge,
            )
        top = base - size * (0.74 if _TALL.search(text) else 0.56)
        bottom = base + size * (0.2 if set(text) & _DEEP else 0.02)
        return self._cut(style.ground, (margin, top, margin + length, bottom), style.stroke)

    def _cut(
        self, ground: Image.Image, box: tuple[float, float, float, float], stroke: int
    ) -> Image.Image | None:
        """As the detector's boxes are: never quite tight, a little turned, and stretched."""
        pick = self._random
        high = box[3] - box[1]
        left = box[0] - stroke - high * pick.uniform(0, 0.5)
        right = box[2] + stroke + high * pick.uniform(0, 0.5)
        top = box[1] - stroke - high * pick.uniform(0.02, 0.28)
        bottom = box[3] + stroke + high * pick.uniform(0.02, 0.28)
        angle = math.radians(pick.gauss(0, 1)) if pick.random() < 0.5 else 0.0
        shear = pick.gauss(0, 0.06) if pick.random() < 0.25 else 0.0
        stretch = pick.uniform(0.72, 1.25) if pick.random() < 0.45 else 1.0
        width = int((right - left) * stretch * LINE_HEIGHT / (bottom - top))
        if not 24 <= width <= _WIDEST:
            return None
        # Small print has few pixels before it is enlarged.
        height = pick.choice([12, 14, 16, 18, 20, 24] if pick.random() < 0.35 else [28, 36, 48])
        columns = max(8, width * height // LINE_HEIGHT)
        down, across = (bottom - top) / height, (right - left) / columns
        if down > 1.3:
            ground = ground.filter(ImageFilter.GaussianBlur(down * 0.35))
        cosine, sine = math.cos(angle), math.sin(angle)
        x, y = (left + right) / 2, (top + bottom) / 2
        transform = (
            cosine * across,
            (shear - sine) * down,
            x - cosine * across * columns / 2 - (shear - sine) * down * height / 2,
            sine * across,
            cosine * down,
            y - sine * across * columns / 2 - cosine * down * height / 2,
        )
        small = ground.transform(
            (columns, height), Image.Transform.AFFINE, transform, resample=Image.Resampling.BICUBIC
        )
        if pick.random() < 0.6:
            small = _jpeg(small, pick.randint(22, 90))
        return small.resize((width, LINE_HEIGHT), Image.Resampling.BICUBIC)

    def _damaged(self, line: Image.Image) -> Image.Image:
        pick = self._random
        if pick.random() < 0.12:
            line = line.filter(ImageFilter.GaussianBlur(pick.uniform(0.3, 1.0)))
        values = np.asarray(line, dtype=np.float32)
        if pick.random() < 0.3:
            values = values * pick.uniform(0.7, 1.15) + pick.uniform(-20, 30)
        if pick.random() < 0.12:
            noise = np.random.default_rng(pick.randrange(2**30)).normal(0, pick.uniform(3, 14), values.shape)
            values = values + noise.astype(np.float32)
        if pick.random() < 0.06:
            values = 255 - values
        if pick.random() < 0.05:
            values = np.repeat(values.mean(axis=2, keepdims=True), 3, axis=2)
        return Image.fromarray(values.clip(0, 255).astype(np.uint8))

    def _style(self, size: tuple[int, int], letters: int) -> _Style:
        pick = self._random
        thick = max(1, int(letters * pick.uniform(0.03, 0.13)))
        kind = pick.choices(["light", "dark", "photo", "colour", "bar"], [30, 10, 38, 14, 8])[0]
        if kind == "light":
            level = pick.choice([255, 255, 255, pick.randint(225, 255)])
            ink = pick.choice([_BLACK, _BLACK, self._shade(0, 90), self._shade(60, 130)])
            return _Style(Image.new("RGB", size, (level, level, level)), ink, 0, None)
        if kind == "dark":
            level = pick.choice([0, 0, pick.randint(0, 60)])
            ink = pick.choice([_WHITE, _WHITE, self._shade(170, 255), self._shade(140, 210)])
            return _Style(Image.new("RGB", size, (level, level, level)), ink, 0, None)
        if kind == "colour":
            ground = self._shade(0, 255)
            ink, edge = (_WHITE, _BLACK) if sum(ground) < 405 else (_BLACK, _WHITE)
            return _Style(Image.new("RGB", size, ground), ink, thick if pick.random() < 0.2 else 0, edge)
        photo = self._photo(size)
        if kind == "bar":
            bar = pick.choice([_BLACK, _BLACK, _WHITE])
            faded = Image.blend(photo, Image.new("RGB", size, bar), pick.uniform(0.5, 0.85))
            return _Style(faded, _WHITE if bar == _BLACK else _BLACK, 0, None)
        return self._on_photo(photo, thick)

    def _on_photo(self, photo: Image.Image, thick: int) -> _Style:
        pick = self._random
        light = float(np.asarray(photo.resize((1, 1), Image.Resampling.BOX)).mean()) > 127
        chance = pick.random()
        if chance < 0.72:
            bright = pick.choice([(255, 255, 0), (255, 60, 60), (120, 255, 120), self._shade(150, 255)])
            ink = _WHITE if pick.random() < 0.8 else bright
            if pick.random() < 0.8:
                return _Style(photo, ink, thick, _BLACK if pick.random() < 0.9 else self._shade(0, 80))
            return _Style(photo.point(lambda level: level * 0.55) if light else photo, ink, 0, None, True)
        if chance < 0.85:
            return _Style(photo, self._shade(0, 50), thick, _WHITE)
        if light:
            return _Style(photo.point(lambda level: 110 + level * 0.57), _BLACK, 0, None)
        return _Style(photo.point(lambda level: level * 0.55), _WHITE, 0, None)

    def _photo(self, size: tuple[int, int]) -> Image.Image:
        pick = self._random
        photo = pick.choice(self._grounds)
        zoom = pick.uniform(0.25, 1.6)
        width, height = (
            min(whole, max(8, int(side * zoom))) for whole, side in zip(photo.size, size, strict=True)
        )
        left, top = pick.randint(0, photo.width - width), pick.randint(0, photo.height - height)
        return photo.crop((left, top, left + width, top + height)).resize(size, Image.Resampling.BILINEAR)

    def _shade(self, low: int, high: int) -> Colour:
        return (
            self._random.randint(low, high),
            self._random.randint(low, high),
            self._random.randint(low, high),
        )


def _jpeg(image: Image.Image, quality: int) -> Image.Image:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return Image.open(file).convert("RGB")  # noqa: TID251 - written just now, by us


def vary(generator: random.Random, line: Image.Image) -> Image.Image:
    """A real line, seen a little otherwise."""
    if generator.random() < 0.5:
        line = line.resize((max(24, int(line.width * generator.uniform(0.8, 1.2))), LINE_HEIGHT))
    if generator.random() < 0.3:
        height = generator.choice([18, 22, 28, 36])
        small = line.resize((max(8, line.width * height // LINE_HEIGHT), height))
        line = _jpeg(small, generator.randint(30, 85)).resize(line.size, Image.Resampling.BICUBIC)
    if generator.random() < 0.4:
        scale, shear = generator.uniform(0.9, 1.1), generator.gauss(0, 0.04)
        down = LINE_HEIGHT / 2 * (1 - scale) + generator.uniform(-3, 3)
        line = line.transform(
            line.size,
            Image.Transform.AFFINE,
            (1, shear, generator.uniform(-3, 3), 0, scale, down),
            resample=Image.Resampling.BILINEAR,
        )
    return line.crop((0, 0, min(line.width, _WIDEST), LINE_HEIGHT))
