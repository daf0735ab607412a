"""Files that cost a decoder more than their size lets expect, drawn from seeds: the same at every run."""

from __future__ import annotations

import io
import random
import re
import struct
import zlib
from collections.abc import Callable, Iterator
from functools import partial

import pillow_heif
from PIL import Image

from tests.drawing import bomb_png_bytes, draw_meme

pillow_heif.register_heif_opener()

Maker = Callable[[], bytes]
Named = Iterator[tuple[str, Maker]]  # what it is, and how its bytes are made

_LARGE = 6000  # pixels of a side: 36 million in all
_FORMATS: dict[str, dict[str, object]] = {
    "JPEG": {},
    "JPEG progressive": {"progressive": True},
    "PNG": {},
    "GIF": {},
    "WEBP": {"method": 0},
    "WEBP lossless": {"lossless": True, "method": 0},
    "AVIF": {"speed": 10},
    "HEIF": {"enc_params": {"preset": "ultrafast"}},
    "TIFF": {"compression": "tiff_lzw"},
    "BMP": {},
    "JPEG2000": {},
}


def families() -> dict[str, Named]:
    """All of them, by what is wrong with them."""
    return {
        "JPEG of many scans": _scans(),
        "JPEG of odd segments": _segments(),
        "EXIF loops": _exif(),
        "large pictures of few bytes": _large(),
        "side data of PNG": _png_side(),
        "PNG that costs": _png_pixels(),
        "animations": _animations(),
        "TIFF": _tiff(),
        "JPEG 2000": _jpeg_2000(),
        "containers": _containers(),
        "cut": _cut(),
        "flipped bits": _flipped(),
        "other kinds": _others(),
        "much to read": _much_to_read(),
    }


def saved(image: Image.Image, name: str, **options: object) -> bytes:
    """The picture in a format of :data:`_FORMATS`."""
    buffer = io.BytesIO()
    image.save(buffer, name.split(maxsplit=1)[0], **(_FORMATS[name] | options))
    return buffer.getvalue()


def many_scans(side: int, scans: int) -> bytes:
    """A grey progressive JPEG whose last scan is sent so many times, without a bit in it."""
    plain = saved(Image.new("L", (side, side), 90), "JPEG progressive")
    at = plain.rindex(b"\xff\xda")
    head = plain[at : at + 2 + struct.unpack_from(">H", plain, at + 2)[0]]
    return plain[:-2] + head * scans + b"\xff\xd9"


def _scans() -> Named:
    for side in (500, 2000, 4000):
        for scans in (50, 99, 500, 5_000, 20_000, 40_000):
            yield f"{scans} scans of {side} x {side}", partial(many_scans, side, scans)


def _segment(marker: int, body: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body


def _meme() -> Image.Image:
    return draw_meme("caption_bar", width=600)


def _segments() -> Named:
    def with_segments(segments: bytes) -> bytes:
        plain = saved(_meme(), "JPEG")
        return plain[:2] + segments + plain[2:]

    def claiming(width: int, height: int) -> bytes:
        return re.sub(
            rb"(\xff\xc0\0.\x08)....",
            lambda m: m[1] + struct.pack(">HH", height, width),
            saved(_meme(), "JPEG"),
        )

    tables = {
        "comments": (0xFE, b"x"),
        "profiles": (0xE2, b"ICC_PROFILE\0\1\1" + bytes(40)),
        "pads": (0xEF, b""),
    }
    for name, (marker, body) in tables.items():
        for count in (10_000, 300_000):
            yield (
                f"{count} {name}",
                partial(lambda m, b, c: with_segments(_segment(m, b) * c), marker, body, count),
            )
    quantisation = _segment(0xDB, b"\0" + bytes([1]) * 64)
    yield "200,000 tables", lambda: with_segments(quantisation * 200_000)
    yield "20 MB of 0xff", lambda: with_segments(b"\xff" * 20_000_000)
    yield "20 MB of zeros", lambda: with_segments(bytes(20_000_000))
    yield "20 MB behind its end", lambda: saved(_meme(), "JPEG") + random.Random(1).randbytes(20_000_000)
    for width, height in ((7000, 7000), (65_500, 760), (760, 65_500), (65_535, 1), (1, 65_535), (0, 0)):
        yield f"says {width} x {height}", partial(claiming, width, height)
    thumbnail = _segment(0xE1, b"Exif\0\0II*\0" + saved(_meme().resize((100, 100)), "JPEG"))
    for count in (10, 100, 1000):
        yield f"{count} pictures in it", partial(lambda c: with_segments(thumbnail * c), count)
    frames = [Image.new("RGB", (64, 64), (n, 0, 0)) for n in range(250)]
    yield "MPO of 250 pictures", lambda: _mpo(frames)


def _mpo(frames: list[Image.Image]) -> bytes:
    buffer = io.BytesIO()
    frames[0].save(buffer, "MPO", save_all=True, append_images=frames[1:])
    return buffer.getvalue()


def _ifd(order: str, entries: list[tuple[int, int, int, int]], following: int) -> bytes:
    body = b"".join(struct.pack(f"{order}HHII", *entry) for entry in entries)
    return struct.pack(f"{order}H", len(entries)) + body + struct.pack(f"{order}I", following)


def _exif() -> Named:
    """The directory stands at 8."""
    kinds = {
        "a next directory that is itself": ([(0x0112, 3, 1, 6)], 8),
        "an Exif directory that is itself": ([(0x8769, 4, 1, 8), (0x8825, 4, 1, 8), (0xA005, 4, 1, 8)], 0),
        "a maker's note that is itself": ([(0x927C, 7, 2**31, 8)], 0),
        "4 billion turns": ([(0x0112, 3, 2**32 - 1, 8)], 0),
        "4 billion rationals": ([(0x011A, 5, 2**32 - 1, 8), (0x0112, 5, 2**30, 8)], 0),
        "sub-directories that are itself": ([(0x014A, 4, 1000, 8)], 8),
        "entries of no known type": ([(tag, 99, 2**32 - 1, 2**32 - 1) for tag in range(3000)], 8),
        "as many as fit": ([(0x0112, 3, 1, 6)] * 5000, 8),
    }
    for name, (entries, following) in kinds.items():
        exif = b"Exif\0\0II*\0" + struct.pack("<I", 8) + _ifd("<", entries, following)
        for format in ("JPEG", "PNG", "WEBP"):
            yield (
                f"{format}: {name}",
                partial(
                    lambda f, e: saved(_meme(), f, exif=e[: 65_000 if f == "JPEG" else None]), format, exif
                ),
            )


def _large() -> Named:
    sizes = {"JPEG": 7000, "JPEG progressive": 7000, "PNG": 7000, "TIFF": 7000, "WEBP lossless": 6000}
    for name, side in (sizes | {"AVIF": _LARGE, "HEIF": 5000, "JPEG2000": 5000, "GIF": 5000}).items():
        for large in (3400, side):
            yield f"{name} RGB {large} x {large}", partial(_plain, name, "RGB", large)
        if not name.startswith(("JPEG", "GIF")):
            yield f"{name} RGBA 3400 x 3400", partial(_plain, name, "RGBA", 3400)
    yield "PNG 30,000 x 30,000", bomb_png_bytes
    for mode in ("RGBA", "I;16", "LA", "P", "1"):
        yield f"PNG {mode} 7000 x 7000", partial(_plain, "PNG", mode, 7000)
    yield "PNG 1 x 50,000,000", lambda: _png(1, 50_000_000, 8, 0)
    yield "PNG 50,000,000 x 1", lambda: _png(50_000_000, 1, 8, 0)
    yield "PNG RGBA of 16 bits", lambda: _png(7000, 7000, 16, 6)
    yield "HEIF of 10 bits", partial(_deep_heif, 4000)


def _plain(name: str, mode: str, side: int) -> bytes:
    return saved(Image.new(mode, (side, side)), name)


def _deep_heif(side: int) -> bytes:
    heif = pillow_heif.from_bytes("RGB;16", (side, side), bytes(side * side * 6))
    buffer = io.BytesIO()
    heif.save(buffer, **_FORMATS["HEIF"])
    return buffer.getvalue()


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _png(width: int, height: int, bits: int, colours: int, *, interlaced: bool = False) -> bytes:
    """Zeros; of an interlaced one more of them than its pixels need."""
    bands = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colours]
    packer = zlib.compressobj(1)
    row = bytes((width * bits * bands + 7) // 8 + 1)
    rows = max(1, 1_000_000 // len(row))
    total = height * 2 if interlaced else height
    packed = b"".join(packer.compress(row * min(rows, total - at)) for at in range(0, total, rows))
    header = struct.pack(">IIBBBBB", width, height, bits, colours, 0, 0, interlaced)
    body = packed + packer.flush()
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", body) + _chunk(b"IEND", b"")


def _png_side() -> Named:
    bomb = zlib.compress(bytes(400_000_000), 1)
    small = zlib.compress(bytes(900_000))
    sides = {
        "a text bomb": _chunk(b"zTXt", b"Comment\0\0" + bomb),
        "a bomb of XMP": _chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + bomb),
        "a bomb of a profile": _chunk(b"iCCP", b"icc\0\0" + bomb),
        "a bomb of a raw profile": _chunk(b"zTXt", b"Raw profile type exif\0\0" + bomb),
        "20,000 texts": _chunk(b"tEXt", b"Comment\0" + b"x" * 20) * 20_000,
        "500,000 texts": _chunk(b"tEXt", b"Comment\0x") * 500_000,
        "2,000 packed texts": _chunk(b"zTXt", b"Comment\0\0" + small) * 2_000,
        "2,000 packed profiles": _chunk(b"zTXt", b"Raw profile type exif\0\0" + small) * 2_000,
        "500,000 empty chunks": _chunk(b"teSt", b"") * 500_000,
        "5,000 frame controls": _chunk(b"acTL", bytes(8)) + _chunk(b"fcTL", bytes(26)) * 5_000,
        "a palette of 20 MB": _chunk(b"PLTE", bytes(19_999_998)),
        "a chunk of 4 GB": struct.pack(">I4s", 2**32 - 1, b"tEXt"),
    }
    for name, side in sides.items():
        for before in (True, False):
            yield f"{name}, {'before' if before else 'behind'} the pixels", partial(_with_side, side, before)


def _with_side(side: bytes, before: bool) -> bytes:
    plain = saved(_meme(), "PNG")
    at = plain.index(b"IDAT") - 4 if before else plain.index(b"IEND") - 4
    return plain[:at] + side + plain[at:]


def _png_pixels() -> Named:
    for name, bits, colours in (("grey", 8, 0), ("colour", 8, 2), ("alpha", 8, 6), ("16 bits", 16, 6)):
        for side in (3000, 7000):
            yield f"interlaced {name} {side}", partial(_png, side, side, bits, colours, interlaced=True)

    def in_pieces(length: int) -> bytes:
        plain = saved(_meme(), "PNG")
        packed = zlib.compress(zlib.decompress(_idat(plain)), 0)
        pieces = b"".join(_chunk(b"IDAT", packed[at : at + length]) for at in range(0, len(packed), length))
        return plain[: plain.index(b"IDAT") - 4] + pieces + _chunk(b"IEND", b"")

    for length in (1, 4, 16):
        yield f"pieces of {length}", partial(in_pieces, length)

    def wrong_end(side: int) -> bytes:
        whole = _png(side, side, 8, 2)
        at = whole.rindex(b"IEND") - 8  # the checksum of the pixels' chunk
        return whole[: at - 6] + b"\1\2\3\4" + whole[at - 2 :]

    for side in (2000, 5000, 7000):
        yield f"a wrong checksum at {side}", partial(wrong_end, side)
        yield f"cut at {side}", partial(lambda s: _png(s, s, 8, 6)[:-200], side)


def _idat(data: bytes) -> bytes:
    found, position = [], 8
    while position + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, position)
        if kind == b"IDAT":
            found.append(data[position + 8 : position + 8 + length])
        position += 12 + length
    return b"".join(found)


def _frames(count: int, side: int) -> list[Image.Image]:
    return [Image.new("RGB", (side, side), (n % 256, n // 256 % 256, 0)) for n in range(count)]


def _animated(format: str, count: int, side: int) -> bytes:
    frames = _frames(count, side)
    options: dict[str, object] = {"speed": 10} if format == "AVIF" else {}
    buffer = io.BytesIO()
    frames[0].save(buffer, format, save_all=True, append_images=frames[1:], duration=40, **options)
    return buffer.getvalue()


def _animations() -> Named:
    for format in ("GIF", "WEBP", "PNG", "AVIF"):
        for count, side in ((3000, 16), (300, 200), (5, 3000)):
            if format == "AVIF" and count == 3000:
                continue
            yield f"{format}: {count} frames of {side}", partial(_animated, format, count, side)

    def gif_with(blocks: bytes) -> bytes:
        plain = saved(_meme(), "GIF")
        return plain[:-1] + blocks + b";"

    comment = b"!\xfe\1x\0"
    yield "GIF: 2,000,000 comments", lambda: gif_with(comment * 2_000_000)
    yield "GIF: 20 MB of nothing", lambda: gif_with(b"\1" * 20_000_000)
    yield "GIF: a frame in 255 places", _gif_far
    yield "GIF: an endless comment", lambda: gif_with(b"!\xfe" + b"\1x" * 10_000_000)
    yield "GIF: 65535 x 65535", lambda: saved(_meme(), "GIF")[:6] + b"\xff" * 4 + saved(_meme(), "GIF")[10:]


def _gif_far() -> bytes:
    plain = saved(Image.new("P", (6000, 6000)), "GIF")
    at = plain.index(b",")
    return plain[:at] + plain[at:-1] * 255 + b";"


def _tiff() -> Named:
    meme = saved(_meme(), "TIFF")
    yield (
        "a next page that is itself",
        lambda: _tiff_of([(256, 4, 1, 64), (257, 4, 1, 64), (262, 3, 1, 1)], 8),
    )
    for count in (100, 2000):
        yield f"{count} pages", partial(_pages, count)
    for compression in ("tiff_adobe_deflate", "tiff_lzw", "packbits", "tiff_lzma", "zstd", "jpeg"):
        yield (
            f"{compression} 6000 x 6000",
            partial(lambda c: saved(Image.new("RGB", (6000, 6000)), "TIFF", compression=c), compression),
        )
    for tag, name in ((256, "width"), (257, "height"), (277, "bands"), (278, "rows"), (258, "bits")):
        yield f"a wrong {name}", partial(_retagged, meme, tag)
    for side in (16, 64):
        yield f"tiles of {side}, one for all", partial(_tiled, 6400, side)
    for mode in ("F", "I;16", "CMYK", "LAB"):
        yield (
            f"{mode} 5000 x 5000",
            partial(
                lambda m: saved(Image.new(m, (5000, 5000)), "TIFF", compression="tiff_adobe_deflate"), mode
            ),
        )
    for tags in (1000, 60_000):
        yield (
            f"{tags} tags",
            partial(lambda t: _tiff_of([(256 + n % 60_000, 4, 2**28, 8) for n in range(t)], 8), tags),
        )


def _tiff_of(entries: list[tuple[int, int, int, int]], following: int) -> bytes:
    return b"II*\0" + struct.pack("<I", 8) + _ifd("<", entries, following) + bytes(5000)


def _pages(count: int) -> bytes:
    buffer = io.BytesIO()
    frames = _frames(count, 16)
    frames[0].save(buffer, "TIFF", save_all=True, append_images=frames[1:])
    return buffer.getvalue()


def _retagged(data: bytes, tag: int) -> bytes:
    start = struct.unpack_from("<I", data, 4)[0]
    for at in range(start + 2, start + 2 + 12 * struct.unpack_from("<H", data, start)[0], 12):
        if struct.unpack_from("<H", data, at)[0] == tag:
            return data[: at + 2] + struct.pack("<HII", 4, 1, 40_000) + data[at + 12 :]
    raise ValueError(f"no tag {tag}")


def _tiled(side: int, tile: int) -> bytes:
    """Every tile is the same few bytes of the file."""
    count = (side // tile) ** 2
    packed = zlib.compress(bytes(tile * tile * 3))
    offsets, counts = 300, 300 + 4 * count
    at = counts + 4 * count
    entries = [
        *(
            (256, 4, 1, side),
            (257, 4, 1, side),
            (258, 3, 3, 290),
            (259, 3, 1, 8),
            (262, 3, 1, 2),
            (277, 3, 1, 3),
        ),
        *((322, 4, 1, tile), (323, 4, 1, tile), (324, 4, count, offsets), (325, 4, count, counts)),
    ]
    head = (b"II*\0" + struct.pack("<I", 8) + _ifd("<", entries, 0)).ljust(290, b"\0")
    head = (head + struct.pack("<3H", 8, 8, 8)).ljust(300, b"\0")
    return head + struct.pack("<I", at) * count + struct.pack("<I", len(packed)) * count + packed


def _jpeg_2000() -> Named:
    def tiled(side: int, tile: int) -> bytes:
        return saved(Image.new("RGB", (side, side)), "JPEG2000", tile_size=(tile, tile))

    for side, tile in ((2000, 16), (500, 4), (5000, 5000)):
        yield f"{side} x {side} in tiles of {tile}", partial(tiled, side, tile)

    def claiming(width: int, height: int, tile: int) -> bytes:
        plain = saved(_meme(), "JPEG2000", no_jp2=True)
        at = plain.index(b"\xff\x51") + 6
        sizes = struct.pack(">8I", width, height, 0, 0, tile, tile, 0, 0)
        return plain[:at] + sizes + plain[at + 32 :]

    for width, height, tile in (
        (7000, 7000, 1),
        (7000, 7000, 7000),
        (50_000_000, 1, 1),
        (60_000, 60_000, 60_000),
    ):
        yield f"says {width} x {height} in tiles of {tile}", partial(claiming, width, height, tile)
    yield (
        "20 layers of noise",
        lambda: saved(
            _noise(2000), "JPEG2000", quality_mode="rates", quality_layers=list(range(200, 0, -10))
        ),
    )


def _noise(side: int) -> Image.Image:
    return Image.frombytes("RGB", (side, side), random.Random(side).randbytes(side * side * 3))


def _containers() -> Named:
    webp = saved(_meme(), "WEBP")
    avif, heif = saved(_meme(), "AVIF"), saved(_meme(), "HEIF")
    yield "WEBP: says 4 GB", lambda: webp[:4] + b"\xfe\xff\xff\xff" + webp[8:]
    yield "WEBP: says 45 MB", lambda: webp[:4] + struct.pack("<I", 45_000_000) + webp[8:]
    yield (
        "WEBP: 1,000,000 chunks",
        lambda: webp[:12] + struct.pack("<4sI", b"JUNK", 0) * 1_000_000 + webp[12:],
    )
    for name, plain in (("AVIF", avif), ("HEIF", heif)):
        yield (
            f"{name}: 1,000,000 boxes",
            partial(lambda p: p + struct.pack(">I4s", 8, b"free") * 1_000_000, plain),
        )
        yield (
            f"{name}: a box of 2^63 bytes",
            partial(lambda p: p + struct.pack(">I4sQ", 1, b"mdat", 2**63), plain),
        )
        yield (
            f"{name}: a box of 45 MB",
            partial(lambda p: p + struct.pack(">I4s", 45_000_000, b"mdat"), plain),
        )
        for old, new in ((b"ispe", 60_000), (b"ispe", 7_000)):
            yield (
                f"{name}: says {new} x {new}",
                partial(
                    lambda p, o, n: re.sub(
                        o + b"....(....)(....)", o + bytes(4) + struct.pack(">II", n, n), p, flags=re.S
                    ),
                    plain,
                    old,
                    new,
                ),
            )
    yield (
        "ICO of 256 pictures",
        lambda: struct.pack("<HHH", 0, 1, 256) + bytes(16) * 256 + saved(_meme(), "PNG"),
    )


def _cut() -> Named:
    for name in _FORMATS:
        for share in (0.2, 0.55, 0.8, 0.99):
            yield f"{name} at {share:.0%}", partial(_shortened, name, 1500, share)
        if name in {"JPEG", "JPEG progressive", "WEBP lossless", "WEBP", "PNG", "AVIF", "HEIF"}:
            yield f"{name} of 12 million pixels at 80 %", partial(_shortened, name, 3460, 0.8)


def _shortened(name: str, width: int, share: float) -> bytes:
    whole = saved(draw_meme("photo", width=width), name)
    return whole[: round(len(whole) * share)]


def _flipped() -> Named:
    for name in _FORMATS:
        for seed in range(5):
            yield f"{name}, seed {seed}", partial(_with_flips, name, seed)


def _with_flips(name: str, seed: int) -> bytes:
    data = bytearray(saved(_meme(), name))
    chance = random.Random(seed)
    for _ in range(1 + seed * 5):
        data[chance.randrange(12, len(data))] = chance.randrange(256)
    return bytes(data)


def _others() -> Named:
    for start in (
        b"8BPS\0\1",
        b"icns",
        b"\0\0\1\0",
        b"%PDF-1.7",
        b"%!PS-Adobe",
        b"<svg",
        b"PK\3\4",
        b"\xff\x0a",
    ):
        yield f"{start!r}", partial(lambda s: s + random.Random(2).randbytes(5_000_000), start)
    yield "nothing", bytes
    yield (
        "BMP that says 2^31",
        lambda: b"BM" + bytes(12) + struct.pack("<IiiHH", 40, 2**31 - 1, -(2**31), 1, 24) + bytes(99),
    )
    yield (
        "BMP RLE 7000 x 7000",
        lambda: (
            b"BM"
            + bytes(8)
            + struct.pack("<IIiiHHIIiiII", 1078, 40, 7000, 7000, 1, 8, 1, 0, 0, 0, 256, 0)
            + bytes(1024)
            + b"\xff\1" * 300_000
            + b"\0\1"
        ),
    )


def _much_to_read() -> Named:
    """Whole pictures of which the reader, not the decoder, has its hands full."""
    for side in (1000, 2400):
        yield f"noise {side}", partial(lambda s: saved(_noise(s), "PNG"), side)
    for step in (3, 8, 20, 40):
        yield f"squares of {step}", partial(_squares, 3000, step)
    text = "\n".join("ЧТО НАПИСАНО ПЕРОМ ТОГО НЕ ВЫРУБИШЬ ТОПОРОМ " * 3 for _ in range(150))
    for width, size in ((2000, 14), (3400, 20), (3400, 60)):
        yield f"a wall of print of {size}", partial(_print, text, width, size)
    for width, height in (
        (8000, 1500),
        (600, 20_000),
        (20_000, 600),
        (3, 40_000),
        (40_000, 3),
        (1, 1),
        (2, 2),
    ):
        yield (
            f"{width} x {height}",
            partial(lambda w, h: saved(draw_meme("tweet", width=800).resize((w, h)), "PNG"), width, height),
        )


def _squares(side: int, step: int) -> bytes:
    small = Image.new("1", (side // step, side // step))
    small.putdata([(x + y) % 2 * 255 for y in range(side // step) for x in range(side // step)])
    return saved(small.convert("RGB").resize((side, side), Image.Resampling.NEAREST), "PNG")


def _print(text: str, width: int, size: int) -> bytes:
    from PIL import ImageDraw

    from tests.drawing import font

    image = Image.new("RGB", (width, width), "white")
    ImageDraw.Draw(image).multiline_text((5, 5), text, fill="black", font=font(size), spacing=2)
    return saved(image, "PNG")
