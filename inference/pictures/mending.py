"""Pictures whose file is damaged beside the pixels, or does not come to its end.

:func:`tidied` leaves of a file what its pixels need: damaged, oversized or missing side data is no reason to
refuse a picture. :func:`came` decodes a file that ends too soon and tells which rows really came. No decoder
says that; but what a file decides stays the same when whatever stands in for the missing part is changed.
"""

from __future__ import annotations

import random
import re
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import groupby

from PIL import Image, ImageFile

__all__ = ["Came", "came", "ends_in_filler", "filled_up", "tidied", "without_orientation"]

Reopen = Callable[[bytes], ImageFile.ImageFile]  # from bytes to a source whose pixels are not decoded yet

PNG = b"\x89PNG\r\n\x1a\n"
_MOST_TEXT = 1_000_000  # bytes of one chunk of side data, unpacked
_PNG_NEEDED = frozenset({b"IHDR", b"PLTE", b"eXIf"})
_PNG_TEXTS = (b"XML:com.adobe.xmp", b"Raw profile type exif")  # they may say how the picture is turned
_PNG_NEXT = re.compile(rb"IDAT|PLTE|tRNS|IEND")
_PNG_ANIMATION = frozenset({b"acTL", b"fcTL"})

_EOI = b"\xff\xd9"
_JPEG_ALONE = frozenset({0x01, *range(0xD0, 0xDA)})  # markers without a body
_JPEG_NEEDED = frozenset({*range(0xC0, 0xD0), 0xDB, 0xDC, 0xDD}) - {0xC8}
_JPEG_SIDE = {0xE0: b"JFIF\0", 0xE1: b"Exif\0", 0xEE: b"Adobe"}  # colours and orientation depend on these
_JPEG_SHORTEST = 16  # bytes of such a segment
_JPEG_NEXT = re.compile(rb"\xff[\xc0-\xcf\xda\xdb\xdd\xe0-\xef\xfe]")
_JPEG_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
_GREY = (126, 127, 128, 129, 130)  # what the JPEG decoder shows where nothing came, give or take a rounding

_WEBP_NEEDED = frozenset({b"VP8X", b"VP8 ", b"VP8L", b"ALPH", b"ANIM"})
_WEBP_FLAGS, _WEBP_EXIF = 0x12, 0x08  # of VP8X: alpha and animation; EXIF
_TIFF_ORDERS = {b"II": "<", b"MM": ">"}
_TIFF_NEEDED = frozenset(
    {
        254,
        255,
        256,
        257,
        258,
        259,
        262,
        266,
        273,
        274,
        277,
        278,
        279,
        284,
        292,
        293,
        317,
        320,
        322,
        323,
        324,
        325,
    }
    | {332, 338, 339, 340, 341, 347, 512, 513, 514, 515, 517, 518, 519, 520, 521, 529, 530, 531, 532}
)
_NOISE = 65_536  # bytes; enough to change the first row that it decides
_MOST = 50_000_000  # bytes of a file that is filled up


@dataclass(frozen=True, slots=True)
class Came:
    """What came of a picture's pixels."""

    image: Image.Image  # as high as the whole picture
    top: int  # the rows from here
    bottom: int  # to before here are there
    shown: int | None = None  # rows worth showing from the top, where they are more: those below are blurred

    @property
    def share(self) -> float:
        """Of the rows, 0..1."""
        return (self.bottom - self.top) / self.image.height


def tidied(data: bytes) -> bytes | None:
    """The file without its side data, ended where its end is missing; None: nothing is known to be done."""
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return _tidy_webp(data)
    tidy = next((tidy for start, tidy in _TIDY if data.startswith(start)), None)
    return tidy(data) if tidy is not None else None


def came(data: bytes, format: str | None, reopen: Reopen) -> Came | None:
    """Which rows of a file that cannot be decoded to its end came; None where that cannot be told."""
    if format in {"JPEG", "MPO"}:
        return _jpeg_rows(data, reopen)
    if format == "WEBP" or data[4:8] == b"ftyp":
        return _rows_by_filling_up(data, reopen)
    if format == "GIF":
        # Transparent pixels would show neither ground.
        found = _rows_by_grounds(_gif_without_transparency(data), reopen)
        return found and replace(found, image=_what_came(data, reopen, None))
    if format == "PNG":
        data = _png_with_right_checksum(data) or data
    return _rows_by_grounds(data, reopen)


# --- which rows came ---


def _rows_by_grounds(data: bytes, reopen: Reopen) -> Came | None:
    """Decoded on two grounds: the rows that show neither of them came."""
    first, second = (_what_came(data, reopen, shade) for shade in (0, 255))
    return _compared(first, second)


def _what_came(data: bytes, reopen: Reopen, shade: int | None) -> Image.Image:
    source = reopen(data)
    if shade is not None:
        bands = len(source.getbands())
        source.im = Image.new(source.mode, source.size, (shade,) * bands if bands > 1 else shade).im
    try:
        source.load()
    except Exception:  # that it cannot be decoded to its end is why we are here
        source.tile = []
    return source


def _rows_by_filling_up(data: bytes, reopen: Reopen) -> Came | None:
    """For decoders that show nothing of a file that is too short: it is filled up, in several ways."""
    missing = _missing(data)
    if not missing:
        return None
    # Zeros are what most decoders get through; a little noise before them changes all that follows.
    lengths = (0, 32, 16, 8, 4, 2, 1, 1, 1)
    fills = [(_noise(seed, length) + bytes(missing))[:missing] for seed, length in enumerate(lengths)]
    first: Image.Image | None = None
    bottoms: list[int] = []
    for fill in fills:
        try:
            source = reopen(data + fill)
            source.load()
            loaded = source.convert("RGBA" if source.has_transparency_data else "RGB")
        except Exception:  # noqa: S112 - not every filling can be decoded
            continue
        if first is None:
            first = loaded
            continue
        found = _compared(first, loaded)
        # These formats are written from the top on: rows that are the same further below are so by chance.
        bottoms.append(found.bottom if found is not None and found.top == 0 else 0)
        if len(bottoms) == 2:
            break
    return Came(first, 0, min(bottoms)) if first is not None and bottoms else None


def _jpeg_rows(data: bytes, reopen: Reopen) -> Came | None:
    tidy = _tidy_jpeg(data)
    if tidy is None:
        return None
    body = tidy[: -len(_EOI)].rstrip(b"\xff")  # half a mark would make a mark of what follows
    first, second = reopen(body + _EOI), reopen(body + _noise(0, _NOISE) + _EOI)
    first.load()
    second.load()
    found = _compared(first, second)
    bottom = found.bottom if found is not None and found.top == 0 else 0
    height, luma_known, luma, final = first.height, *_jpeg_scans(body)
    if bottom < height:  # of the last scan, the others came whole
        if luma_known == _ALL:
            return Came(first, 0, height, shown=height)
        if luma == _ALL:
            # Where the mean of each block came before, the rest is there, though blurred.
            return Came(first, 0, bottom, shown=height if 0 in luma_known else None)
        return Came(first, 0, 0)
    if luma != _ALL:
        return Came(first, 0, 0)
    return Came(first, 0, height, shown=None if final else height)


_ALL = frozenset(range(64))


def _jpeg_scans(body: bytes) -> tuple[frozenset[int], frozenset[int], bool]:
    """Of the brightness, the coefficients that were sent before the last scan, and with it; and whether all
    coefficients of all components were then sent to their last bit.
    """
    components: list[int] = []
    sent: dict[tuple[int, int], int] = {}
    before: frozenset[int] = frozenset()
    position = 2
    while match := _JPEG_MARKER.search(body, position):
        marker, start = match[0][1], match.end()
        if marker in _JPEG_ALONE or start + 2 > len(body):
            position = start
            continue
        segment = body[start + 2 : start + struct.unpack_from(">H", body, start)[0]]
        position = start + 2 + len(segment)
        if marker in range(0xC0, 0xD0) and marker not in {0xC4, 0xC8, 0xCC} and len(segment) > 5:
            components = [segment[6 + 3 * n] for n in range(segment[5]) if 6 + 3 * n < len(segment)]
        if marker != 0xDA or len(segment) < 4 or not components:
            continue
        before = frozenset(k for component, k in sent if component == components[0])
        count = segment[0]
        low, high, bits = segment[-3], segment[-2], segment[-1] & 15
        for component in segment[1 : 1 + 2 * count : 2]:
            sent |= {(component, k): bits for k in range(low, min(high, 63) + 1)}
    after = frozenset(k for component, k in sent if components and component == components[0])
    final = len(sent) == 64 * len(components) and not any(sent.values())
    return before, after, final


def ends_in_filler(image: Image.Image) -> bool:
    """Whether the last corner of a JPEG may be what its decoder shows where nothing came."""
    width, height = image.size
    corner = image.crop((max(0, width - 4), height - 1, width, height)).tobytes()
    return all(value in _GREY for value in corner)


def _compared(first: Image.Image, second: Image.Image) -> Came | None:
    """The longest run of rows that are the same in both."""
    if first.size != second.size or first.mode != second.mode:
        return None
    one, other = first.tobytes(), second.tobytes()
    step = len(one) // first.height
    same = [one[at : at + step] == other[at : at + step] for at in range(0, step * first.height, step)]
    top = bottom = position = 0
    for equal, run in groupby(same):
        length = sum(1 for _ in run)
        if equal and length > bottom - top:
            top, bottom = position, position + length
        position += length
    return Came(first, top, bottom)


def _noise(seed: int, length: int) -> bytes:
    return random.Random(seed).randbytes(length).replace(b"\xff", b"\x7f")


def filled_up(data: bytes) -> bytes | None:
    """The file at the length that it says it has; None where it has that, or does not say it."""
    missing = _missing(data)
    return data + bytes(missing) if missing else None


def _missing(data: bytes) -> int:
    """How many bytes of a file did not come, by what it says itself; 0 also where that cannot be."""
    if (data[:4] == b"RIFF" and len(data) > 12) or data[4:8] == b"ftyp":
        missing = _declared_size(data) - len(data)
        return missing if 0 < missing <= _MOST else 0
    return 0


def _declared_size(data: bytes) -> int:
    """How long the container says that it is."""
    if data[:4] == b"RIFF":
        return 8 + int(struct.unpack_from("<I", data, 4)[0])
    position = 0
    while position + 16 <= len(data):
        size = int(struct.unpack_from(">I", data, position)[0])
        if size == 1:
            size = int(struct.unpack_from(">Q", data, position + 8)[0])
        if size < 8:  # 0: to the end of the file
            break
        position += size
    return position


# --- PNG ---


def _tidy_png(data: bytes) -> bytes:
    """What says how the pixels look stands before them, nothing else does, and the end is there."""
    if b"IEND" not in data[-4096:]:
        data = data.rstrip(b"\0")  # a download that was given its full length before it came
    front, pixels = [], []
    for kind, body in _png_chunks(data):
        if kind == b"IDAT":
            pixels.append(_chunk(kind, body))
        elif not pixels or kind not in _PNG_ANIMATION:
            front.append((kind, body))
    kept = [_chunk(kind, body) for kind, body in front if _png_needs(kind, body, front)]
    return b"".join([PNG, *kept, *pixels, _chunk(b"IEND", b"")])


def _png_needs(kind: bytes, body: bytes, others: list[tuple[bytes, bytes]]) -> bool:
    header = others[0][1] if others[0][0] == b"IHDR" and len(others[0][1]) >= 13 else bytes(13)
    if kind == b"tRNS":  # grey, colour, palette
        return len(body) in {0: (2,), 2: (6,), 3: range(1, 257)}.get(header[9], ())
    if kind == b"acTL":
        frames = [one for other, one in others if other == b"fcTL"]
        return len(body) == 8 and all(_png_needs(b"fcTL", one, others) for one in frames)
    if kind == b"fcTL":
        if len(body) != 26 or not any(other == b"acTL" and len(one) == 8 for other, one in others):
            return False
        number, width, height, left, top = struct.unpack_from(">5I", body)
        whole = struct.unpack_from(">2I", header)
        return bool(number == 0 and 0 < width <= whole[0] - left and 0 < height <= whole[1] - top)
    if kind in {b"iTXt", b"zTXt", b"tEXt"}:
        return body.startswith(_PNG_TEXTS) and _is_short(body)
    return kind in _PNG_NEEDED


def _png_with_right_checksum(data: bytes) -> bytes | None:
    """Its pixels with the checksum that is theirs; None when they do not come to their end."""
    chunks = list(_png_chunks(data))
    packed = b"".join(body for kind, body in chunks if kind == b"IDAT")
    unpacker, checksum = zlib.decompressobj(-zlib.MAX_WBITS), zlib.adler32(b"")
    rest = packed[2:]
    try:
        while rest and not unpacker.eof:
            checksum = zlib.adler32(unpacker.decompress(rest, _MOST_TEXT), checksum)
            rest = unpacker.unconsumed_tail
    except zlib.error:
        return None
    if not unpacker.eof:
        return None
    whole = packed[: len(packed) - len(unpacker.unused_data)] + struct.pack(">I", checksum)
    others = [_chunk(kind, body) for kind, body in chunks if kind != b"IDAT"]
    return b"".join([PNG, *others, _chunk(b"IDAT", whole), _chunk(b"IEND", b"")])


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    position = len(PNG)
    while position + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, position)
        end = position + 12 + length
        if kind == b"IEND":
            return
        if kind != b"IDAT" and (not kind.isalpha() or not (data[end + 4 : end + 8].isalpha())):
            # It does not know its length: on to the next one that matters.
            found = _PNG_NEXT.search(data, position + 8)
            if found is None or found.start() < position + 12:
                return
            position = found.start() - 4
            continue
        yield kind, data[position + 8 : end - 4]
        position = end


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _is_short(body: bytes) -> bool:
    if len(body) > _MOST_TEXT:
        return False
    packed = body.find(b"\x78")  # where the compressed part may begin
    while 0 <= packed < 200:
        unpacker = zlib.decompressobj()
        try:
            unpacker.decompress(body[packed:], _MOST_TEXT)
        except zlib.error:
            packed = body.find(b"\x78", packed + 1)
            continue
        return not unpacker.unconsumed_tail
    return True


# --- JPEG ---


def _tidy_jpeg(data: bytes) -> bytes | None:
    """Its tables, its frame and its scans up to the end of the first picture; None when it has no scan."""
    kept = [b"\xff\xd8"]
    position = 2
    while match := _JPEG_NEXT.search(data, position):
        marker, start = match[0][1], match.end()
        if start + 2 > len(data):
            return None
        length = struct.unpack_from(">H", data, start)[0]
        end = start + length
        if length < 2 or (marker not in _JPEG_NEEDED and marker != 0xDA and data[end : end + 1] != b"\xff"):
            position = start  # a segment that does not know its length: on to the next one
            continue
        segment = data[match.start() : end]
        if marker == 0xDA:
            rest = data[match.start() :]
            finish = _end_of_scans(rest)
            return b"".join([*kept, rest[:finish] if finish is not None else rest.rstrip(b"\0"), _EOI])
        side = _JPEG_SIDE.get(marker)
        if marker in _JPEG_NEEDED or (
            side and segment[4:].startswith(side) and len(segment) >= _JPEG_SHORTEST
        ):
            kept.append(segment)
        position = end
    return None


def _end_of_scans(rest: bytes) -> int | None:
    """Where the mark of the end stands, outside of segments that could hold another picture; or where a
    segment begins that was cut, and says nothing.
    """
    position = 0
    while match := _JPEG_MARKER.search(rest, position):
        if match[0] == _EOI:
            return match.start()
        position = match.end()
        if match[0][1] not in _JPEG_ALONE:
            length = struct.unpack_from(">H", rest, position)[0] if position + 2 <= len(rest) else 2
            position += length
            if position > len(rest):
                return match.start()
    return None


# --- WebP ---


def _tidy_webp(data: bytes) -> bytes:
    """The picture's chunks; of an animation the first frame, twice where others followed."""
    needed: list[bytes] = []
    exif: list[bytes] = []
    frames = 0
    position = 12
    while position + 8 <= len(data):
        kind, length = struct.unpack_from("<4sI", data, position)
        chunk = data[position : position + 8 + length]
        position += 8 + length + length % 2
        frames += kind == b"ANMF"
        if kind == b"EXIF" and len(chunk) == 8 + length:
            exif.append(chunk)
        elif kind in _WEBP_NEEDED or (kind == b"ANMF" and frames == 1):
            needed.append(chunk)
    if frames > 1:
        needed.append(needed[-1])
    extended = needed and needed[0][:4] == b"VP8X" and len(needed[0]) == 18
    if extended:
        flags = (needed[0][8] & _WEBP_FLAGS) | (_WEBP_EXIF if exif else 0)
        needed[0] = needed[0][:8] + bytes([flags]) + needed[0][9:]
    # A last chunk that was cut keeps its length; what is missing counts as part of the file.
    declared = struct.unpack_from("<I", needed[-1], 4)[0] if needed else 0
    missing = max(0, 8 + declared - len(needed[-1])) if needed else 0
    kept = needed + (exif[:1] if extended and not missing else [])
    body = b"WEBP" + b"".join(chunk + b"\0" * (len(chunk) % 2 if not missing else 0) for chunk in kept)
    return b"RIFF" + struct.pack("<I", len(body) + missing + (declared % 2 if missing else 0)) + body


# --- GIF ---


@dataclass(frozen=True, slots=True)
class _GifFrame:
    control: slice  # its control block; empty: there is none
    start: int
    end: int


def _tidy_gif(data: bytes) -> bytes | None:
    """The first frame, twice where others followed, without comments; None when there is none."""
    frame = _gif_frame(data, _gif_tables(data))
    if frame is None:
        return None
    first = data[frame.control] + data[frame.start : frame.end]
    if frame.end == len(data):  # it may have been cut: left open, so that this shows
        return data[: _gif_tables(data)] + first
    more = _gif_frame(data, frame.end) is not None
    return data[: _gif_tables(data)] + first * (2 if more else 1) + b";"


def _gif_without_transparency(data: bytes) -> bytes:
    frame = _gif_frame(data, _gif_tables(data))
    if frame is None or not data[frame.control]:
        return data
    at = frame.control.start + 3
    return data[:at] + bytes([data[at] & 0xFE]) + data[at + 1 :]


def _gif_tables(data: bytes) -> int:
    """Where the header and the common palette end."""
    return 13 + (3 << ((data[10] & 7) + 1) if len(data) > 13 and data[10] & 0x80 else 0)


def _gif_frame(data: bytes, position: int) -> _GifFrame | None:
    """The next frame from a position on."""
    control = slice(0, 0)
    while position + 10 <= len(data):
        if data[position] == 0x21:
            end = _gif_data(data, position + 2)
            if data[position + 1] == 0xF9:
                control = slice(position, end)
            position = end
        elif data[position] == 0x2C:
            packed = data[position + 9]
            palette = 3 << ((packed & 7) + 1) if packed & 0x80 else 0
            return _GifFrame(control, position, _gif_data(data, position + 11 + palette))
        else:
            position += 1
    return None


def _gif_data(data: bytes, position: int) -> int:
    """Where the sub-blocks that begin at a position end."""
    while position < len(data) and data[position]:
        position += 1 + data[position]
    return min(position + 1, len(data))


# --- TIFF ---


def _tidy_tiff(data: bytes) -> bytes | None:
    """Its first page with the tags alone that its pixels need; None when these cannot be found."""
    tags = _tiff_tags(data)
    if not tags:
        return None
    kept = b"".join(data[at : at + 12] for tag, at in tags if tag in _TIFF_NEEDED)
    start = tags[0][1] - 2
    # In its place, so that the pixels end where they did; no page follows.
    table = struct.pack(f"{_TIFF_ORDERS[data[:2]]}H", len(kept) // 12) + kept + bytes(4)
    return data[:start] + table + data[start + len(table) :]


def without_orientation(data: bytes) -> bytes:
    """A TIFF that says of itself that it is upright: whoever decodes it does not turn it."""
    tags = _tiff_tags(data)
    at = next((at for tag, at in tags or () if tag == 0x0112), None)
    if at is None:
        return data
    upright = struct.pack(f"{_TIFF_ORDERS[data[:2]]}HHIHH", 0x0112, 3, 1, 1, 0)
    return data[:at] + upright + data[at + 12 :]


def _tiff_tags(data: bytes) -> list[tuple[int, int]] | None:
    """The tags of the first page, and where their entries stand."""
    order = _TIFF_ORDERS.get(data[:2])
    if order is None or len(data) < 8:
        return None
    start = struct.unpack_from(f"{order}I", data, 4)[0]
    if start + 2 > len(data):
        return None
    count = struct.unpack_from(f"{order}H", data, start)[0]
    entries = range(start + 2, start + 2 + 12 * count, 12)
    if entries.stop > len(data):
        return None
    return [(struct.unpack_from(f"{order}H", data, at)[0], at) for at in entries]


# --- BMP and JPEG 2000 ---


def _tidy_bmp(data: bytes) -> bytes | None:
    if len(data) < 30:
        return None
    width, bits = struct.unpack_from("<i", data, 18)[0], struct.unpack_from("<H", data, 28)[0]
    return data + bytes(-((width * bits + 7) // 8) % 4)  # what fills up the last row


def _tidy_jpeg_2000(data: bytes) -> bytes:
    return data + _EOI  # the same mark ends both


_TIDY: tuple[tuple[bytes, Callable[[bytes], bytes | None]], ...] = (
    (PNG, _tidy_png),
    (b"\xff\xd8\xff", _tidy_jpeg),
    (b"GIF87a", _tidy_gif),
    (b"GIF89a", _tidy_gif),
    (b"II*\0", _tidy_tiff),
    (b"MM\0*", _tidy_tiff),
    (b"BM", _tidy_bmp),
    (b"\0\0\0\x0cjP  ", _tidy_jpeg_2000),
    (b"\xff\x4f\xff\x51", _tidy_jpeg_2000),
)
