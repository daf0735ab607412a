"""Memes drawn for the tests: no picture of anybody else is needed, and the words on them are known exactly.

Every drawing is deterministic: the same arguments give the same pixels.
"""

from __future__ import annotations

import io
import struct
import zlib
from typing import Literal

from PIL import Image, ImageDraw, ImageFont

Kind = Literal["caption_bar", "two_frames", "tweet", "photo", "text_only"]
KINDS: tuple[Kind, ...] = ("caption_bar", "two_frames", "tweet", "photo", "text_only")

DEFAULT_WORDS: dict[Kind, tuple[str, ...]] = {
    "caption_bar": ("КОГДА СКАЗАЛ, ЧТО ЛЯЖЕШЬ СПАТЬ ПОРАНЬШЕ",),
    "two_frames": ("Я В ПЯТНИЦУ ВЕЧЕРОМ", "Я В ПОНЕДЕЛЬНИК УТРОМ"),
    "tweet": ("Учёные доказали: кот всегда знает, во сколько у вас будильник",),
    "photo": (),
    "text_only": ("ЗДЕСЬ МОГЛА БЫТЬ ВАША ШУТКА",),
}

_SCALE = 2  # shapes are drawn this many times larger and reduced, so that their edges are smooth


def font(size: int, *, bold: bool = True) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """DejaVu Sans at `size` pixels, or Pillow's own face where DejaVu is not installed."""
    try:
        return ImageFont.truetype("DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf", size)
    except OSError:
        return ImageFont.load_default(size)


def draw_meme(
    kind: Kind = "caption_bar", *words: str, width: int = 800, mood: Literal["sleepy", "awake"] = "awake"
) -> Image.Image:
    """An RGB meme `width` pixels wide; `words` (one string a place) replace the kind's own ones.

    `caption_bar`: a white bar with words above a drawn photo; `two_frames`: two photos one above the other,
    each with words of its own; `tweet`: a screenshot of a short post; `photo`: no words at all; `text_only`:
    words and nothing else.
    """
    texts = words or DEFAULT_WORDS[kind]
    if kind == "photo":
        return _photo(width, round(width * 0.75), mood)
    if kind == "caption_bar":
        bar = _text_block(texts[0], width, size=width // 17)
        photo = _photo(width, round(width * 0.75), mood)
        return _stack([bar, photo])
    if kind == "two_frames":
        top, bottom = texts[0], texts[1] if len(texts) > 1 else ""
        frames = [_photo(width, width // 2, "awake"), _photo(width, width // 2, "sleepy")]
        for frame, text in zip(frames, (top, bottom), strict=True):
            _outlined(frame, text, size=width // 18)
        divider = Image.new("RGB", (width, max(4, width // 100)), "white")
        return _stack([frames[0], divider, frames[1]])
    if kind == "tweet":
        return _tweet(texts[0], width)
    return _text_block(texts[0], width, size=width // 12, height=round(width * 0.75))


def jpeg_bytes(image: Image.Image, *, quality: int = 90) -> bytes:
    """The picture as a JPEG file."""
    buffer = io.BytesIO()
    image.convert("RGB").save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def png_bytes(image: Image.Image) -> bytes:
    """The picture as a PNG file, in its own mode."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def webp_bytes(image: Image.Image) -> bytes:
    """The picture as a lossless WebP file (what a static sticker is)."""
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", lossless=True)
    return buffer.getvalue()


def gif_bytes(images: list[Image.Image], *, milliseconds: int = 200) -> bytes:
    """The pictures as one animated GIF, endlessly repeated."""
    buffer = io.BytesIO()
    images[0].save(buffer, "GIF", save_all=True, append_images=images[1:], duration=milliseconds, loop=0)
    return buffer.getvalue()


def rotated_jpeg_bytes(image: Image.Image) -> bytes:
    """A JPEG stored lying on its side whose EXIF orientation (6) says how to turn it upright."""
    buffer = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6
    image.transpose(Image.Transpose.ROTATE_90).save(buffer, "JPEG", quality=90, exif=exif)
    return buffer.getvalue()


def bomb_png_bytes(side: int = 30_000) -> bytes:
    """A well-formed black PNG of `side` x `side` pixels in a hundred kilobytes: a decompression bomb."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    packer = zlib.compressobj(9)
    row = b"\0" * (side // 8 + 2)  # one bit a pixel, and the filter byte
    packed = b"".join(packer.compress(row) for _ in range(side)) + packer.flush()
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


def _stack(parts: list[Image.Image]) -> Image.Image:
    whole = Image.new("RGB", (parts[0].width, sum(part.height for part in parts)), "white")
    top = 0
    for part in parts:
        whole.paste(part, (0, top))
        top += part.height
    return whole


def _wrap(
    text: str, width: int, face: ImageFont.FreeTypeFont | ImageFont.ImageFont, draw: ImageDraw.ImageDraw
) -> str:
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and draw.textlength(longer, font=face) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return "\n".join(lines)


def _text_block(text: str, width: int, *, size: int, height: int | None = None) -> Image.Image:
    face = font(size)
    probe = ImageDraw.Draw(Image.new("RGB", (8, 8)))
    wrapped = _wrap(text, width - 2 * size, face, probe)
    lines = wrapped.count("\n") + 1
    block = Image.new("RGB", (width, height or round(size * (1.35 * lines + 1))), "white")
    centre = (width / 2, block.height / 2)
    ImageDraw.Draw(block).multiline_text(
        centre, wrapped, fill="black", font=face, anchor="mm", align="center", spacing=size // 4
    )
    return block


def _outlined(image: Image.Image, text: str, *, size: int) -> None:
    """White words with a black edge at the bottom of the picture, the classic way."""
    draw = ImageDraw.Draw(image)
    face = font(size)
    wrapped = _wrap(text, image.width - 2 * size, face, draw)
    draw.multiline_text(
        (image.width / 2, image.height - size * 0.6),
        wrapped,
        fill="white",
        font=face,
        anchor="md",
        align="center",
        stroke_width=max(2, size // 9),
        stroke_fill="black",
    )


def _tweet(text: str, width: int) -> Image.Image:
    margin, size = width // 16, width // 20
    face, small = font(size, bold=False), font(round(size * 0.75), bold=False)
    probe = ImageDraw.Draw(Image.new("RGB", (8, 8)))
    wrapped = _wrap(text, width - 2 * margin, face, probe)
    avatar = width // 9
    body_top = margin + avatar + size
    height = round(body_top + size * 1.4 * (wrapped.count("\n") + 1) + size * 2.4)
    image = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(image)
    head = _photo(avatar, avatar, "awake")
    mask = Image.new("L", (avatar, avatar), 0)
    ImageDraw.Draw(mask).ellipse((0, 0, avatar - 1, avatar - 1), fill=255)
    image.paste(head, (margin, margin), mask)
    left = margin + avatar + size // 2
    draw.text((left, margin + avatar * 0.30), "Кот учёный", fill="#0f1419", font=font(size), anchor="lm")
    draw.text((left, margin + avatar * 0.78), "@kot_uchyony", fill="#536471", font=small, anchor="lm")
    draw.multiline_text((margin, body_top), wrapped, fill="#0f1419", font=face, spacing=size * 0.4)
    draw.text((margin, height - margin), "10:24 · 3 мая", fill="#536471", font=small, anchor="ls")
    return image


def _photo(width: int, height: int, mood: Literal["sleepy", "awake"]) -> Image.Image:
    """A cat on a windowsill: by day with wide eyes, or by night, half asleep."""
    wide, high = width * _SCALE, height * _SCALE
    sky_top, sky_low, sill = (
        ((104, 173, 222), (214, 236, 247), (196, 152, 108))
        if mood == "awake"
        else ((22, 26, 62), (72, 66, 120), (92, 70, 62))
    )
    image = Image.linear_gradient("L").resize((wide, high))
    image = Image.composite(
        Image.new("RGB", (wide, high), sky_low), Image.new("RGB", (wide, high), sky_top), image
    )
    draw = ImageDraw.Draw(image)
    unit = min(wide, high) / 100

    def disc(x: float, y: float, rx: float, ry: float, fill: str | tuple[int, int, int]) -> None:
        draw.ellipse((x - rx * unit, y - ry * unit, x + rx * unit, y + ry * unit), fill=fill)

    disc(wide * 0.84, high * 0.2, 9, 9, (255, 222, 105) if mood == "awake" else (240, 236, 214))
    for x, y in ((0.10, 0.16), (0.22, 0.34), (0.70, 0.10), (0.90, 0.46), (0.33, 0.09)):
        if mood == "sleepy":
            disc(wide * x, high * y, 0.7, 0.7, "white")
        else:
            for shift in (-5.5, 0, 5.5):
                disc(wide * x + shift * unit, high * y + abs(shift) * unit / 4, 6, 3.6, (244, 250, 253))
    draw.rectangle((0, high * 0.84, wide, high), fill=sill)
    draw.line((0, high * 0.84, wide, high * 0.84), fill=(60, 44, 36), width=round(unit * 0.8))

    fur, dark, pink = (232, 145, 60), (184, 102, 34), (241, 164, 158)
    x, y = wide * 0.5, high * 0.48
    disc(x, high * 0.80, 27, 24, fur)
    disc(x, high * 0.84, 15, 15, (250, 226, 196))
    for side in (-1, 1):
        draw.polygon(
            [
                (x + side * 25 * unit, y - 4 * unit),
                (x + side * 22 * unit, y - 32 * unit),
                (x + side * 6 * unit, y - 19 * unit),
            ],
            fill=fur,
        )
        draw.polygon(
            [
                (x + side * 21 * unit, y - 10 * unit),
                (x + side * 20 * unit, y - 26 * unit),
                (x + side * 11 * unit, y - 18 * unit),
            ],
            fill=pink,
        )
    disc(x, y, 27, 23, fur)
    for shift in (-7, 0, 7):
        draw.line(
            (x + shift * unit, y - 21.5 * unit, x + shift * 0.7 * unit, y - 13 * unit),
            fill=dark,
            width=round(2.4 * unit),
        )
    for side in (-1, 1):
        eye = x + side * 11 * unit
        if mood == "awake":
            disc(eye, y - 1 * unit, 7, 7.6, "white")
            disc(eye, y - 0.4 * unit, 5.4, 6.4, (86, 160, 92))
            disc(eye, y - 0.2 * unit, 2.6, 5.2, "black")
            disc(eye + 1.6 * unit, y - 3 * unit, 1.5, 1.5, "white")
        else:
            draw.arc(
                (eye - 6 * unit, y - 6 * unit, eye + 6 * unit, y + 4 * unit),
                15,
                165,
                fill="black",
                width=round(1.4 * unit),
            )
        for tilt in (-2.5, 0.5, 3.5):
            draw.line(
                (
                    x + side * 10 * unit,
                    y + (11 + tilt * 0.4) * unit,
                    x + side * 33 * unit,
                    y + (9 + tilt * 1.5) * unit,
                ),
                fill="white",
                width=max(1, round(0.6 * unit)),
            )
    disc(x - 4.2 * unit, y + 11 * unit, 6, 5, (250, 226, 196))
    disc(x + 4.2 * unit, y + 11 * unit, 6, 5, (250, 226, 196))
    draw.polygon([(x - 3 * unit, y + 6 * unit), (x + 3 * unit, y + 6 * unit), (x, y + 9.4 * unit)], fill=pink)
    for side in (-1, 1):
        draw.arc(
            (
                x + side * 3.4 * unit - 3.4 * unit,
                y + 8 * unit,
                x + side * 3.4 * unit + 3.4 * unit,
                y + 14 * unit,
            ),
            15,
            165,
            fill=(92, 52, 22),
            width=max(1, round(unit)),
        )
        disc(x + side * 12 * unit, high * 0.86, 7, 4.6, fur)
    return image.resize((width, height), Image.Resampling.LANCZOS)
