"""Pixels of any mode to 8-bit RGB: transparency on a ground that shows the rest, wide ranges scaled."""

from __future__ import annotations

from PIL import Image, ImageChops, ImageFilter

# The ground for transparent pictures: the first one where it loses little, else the one that loses least.
_GROUNDS = (255, 0, 128)
_BEARABLE = 0.1  # share of the edge that may be lost on the first
_CONTRAST = 96  # of 255; an edge this far from the ground is seen well
_INSIDE = 64  # of 255; what an outline surrounds is this far from the ground
_OUTLINE = 0.024  # of the longer side: as wide as the white outline of a sticker may be
_CORNERS = 0.08  # of the shorter side: as large as a rounded corner may be
_LOOKED_AT = 1024  # pixels of the longer side, at most, that this is found on


def to_rgb(image: Image.Image) -> Image.Image:
    """The picture in mode RGB, of the same size; itself where it is that already."""
    if image.mode.startswith(("I", "F")):
        image = _to_8_bits(image)
    if image.has_transparency_data:
        return _on_a_ground(image.convert("RGBA"))
    return image if image.mode == "RGB" else image.convert("RGB")


def _on_a_ground(layer: Image.Image) -> Image.Image:
    """What is opaque, on a ground against which it stands out; white where nothing speaks against it."""
    alpha = layer.getchannel("A")
    least, most = alpha.getextrema()
    if most == 0 or least == 255:  # an alpha channel that is 0 everywhere was never filled in
        return layer.convert("RGB")
    ground = Image.new("RGBA", layer.size, (*(_ground(layer, alpha),) * 3, 255))
    return Image.alpha_composite(ground, layer).convert("RGB")


def _ground(layer: Image.Image, alpha: Image.Image) -> int:
    """The brightness of a ground on which little of the edge of what is opaque is lost, 0..255.

    What is lost is an edge that looks like the ground, unless what it surrounds stands out close by: the
    white outline of a sticker may vanish, white letters may not.
    """
    # Not averaged: thin letters must keep their own colour.
    factor = min(1.0, _LOOKED_AT / max(layer.size))
    size = (max(1, round(layer.width * factor)), max(1, round(layer.height * factor)))
    brightness = layer.convert("RGB").convert("L").resize(size, Image.Resampling.NEAREST)
    alpha = alpha.resize(size, Image.Resampling.NEAREST)
    # Pale as a whole is opaque all the same; fainter than a quarter of that is a shadow or a softened edge.
    threshold = max(1, alpha.getextrema()[1] // 4)  # type: ignore[operator]  # one band: two numbers
    solid = alpha.point(lambda value: 255 if value >= threshold else 0)
    empty = ImageChops.invert(solid)
    # Rounded corners hold nothing that could be lost.
    corner = max(1, round(min(size) * _CORNERS))
    for x in (0, size[0] - corner):
        for y in (0, size[1] - corner):
            empty.paste(0, (x, y, x + corner, y + corner))
    edge = ImageChops.multiply(solid, empty.filter(ImageFilter.MaxFilter(5)))
    total = sum(edge.histogram()[1:])
    if not total:
        return _GROUNDS[0]
    near = max(2, round(max(size) * _OUTLINE))

    def lost(ground: int) -> float:
        stands_out = brightness.point(lambda value: 255 if abs(value - ground) >= _INSIDE else 0)
        inside = ImageChops.multiply(stands_out, solid).filter(ImageFilter.BoxBlur(near))
        bare = ImageChops.multiply(edge, inside.point(lambda value: 0 if value else 255))
        counts = brightness.histogram(bare)
        return sum(n * max(0.0, 1 - abs(v - ground) / _CONTRAST) for v, n in enumerate(counts)) / total

    losses = {ground: lost(ground) for ground in _GROUNDS}
    if losses[_GROUNDS[0]] <= _BEARABLE:
        return _GROUNDS[0]
    return min(_GROUNDS, key=lambda ground: losses[ground])


def _to_8_bits(image: Image.Image) -> Image.Image:
    """Grey of 16 or 32 bits, or of floats, scaled to 0..255; Pillow's own conversion would clip at 255."""
    wide = image.convert("F")
    extrema = wide.getextrema()
    low, high = float(extrema[0]), float(extrema[1])  # type: ignore[arg-type]  # one band: two numbers
    ranges = {"F": (1.0, 255.0, 65535.0)}.get(image.mode, (65535.0,))
    # The smallest of the customary ranges that holds every value; failing that, the values' own.
    top = next((top for top in ranges if low >= 0 and high <= top), None)
    bottom, top = (0.0, top) if top else (low, max(high, low + 1.0))
    factor = 255.0 / (top - bottom)
    grey = wide.point(lambda value: value * factor - bottom * factor).convert("L")
    grey.info.pop("transparency", None)  # a value of the old range
    return grey
