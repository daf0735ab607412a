"""What a file is, by its name or its first bytes: a picture that is read here, or something else."""

from __future__ import annotations

PICTURE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".gif", ".webp", ".bmp", ".tif", ".tiff"}
    | {".heic", ".heif", ".hif", ".avif", ".jp2"}
)

# Of pictures that are known but not read. A file's name may be all that says so before it is fetched.
OTHER_SUFFIXES = frozenset(
    {".jxl", ".jxr", ".wdp", ".hdp", ".ico", ".cur", ".icns", ".psd", ".psb", ".xcf", ".kra", ".svg", ".svgz"}
    | {".eps", ".ai", ".wmf", ".emf", ".cdr", ".djvu", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".rw2"}
    | {".raf", ".pef", ".srw", ".tga", ".pcx", ".dds", ".exr", ".hdr", ".qoi", ".flif", ".bpg", ".fits"}
    | {".pbm", ".pgm", ".ppm", ".pnm", ".pam", ".xpm", ".xbm", ".jng", ".mng"}
)

_HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1")
_PICTURE_BRANDS = frozenset({*_HEIC_BRANDS, b"avif", b"avis"})
_PICTURE_STARTS = (
    b"\xff\xd8\xff",
    b"\x89PNG\r\n\x1a\n",
    b"GIF87a",
    b"GIF89a",
    b"II*\x00",
    b"MM\x00*",
    b"\x00\x00\x00\x0cjP  ",
    b"\xff\x4f\xff\x51",
)
_OTHER_STARTS = (
    (b"\x1aE\xdf\xa3", "a video"),
    (b"OggS", "a voice message or a sound"),
    (b"ID3", "a sound"),
    (b"fLaC", "a sound"),
    (b"%PDF", "a PDF document"),
    (b"PK\x03\x04", "an archive or an office document"),
    (b"\x1f\x8b", "an animated sticker or an archive"),
    (b"<svg", "a vector drawing"),
    (b"%!PS", "a PostScript document"),
    (b"\xc5\xd0\xd3\xc6", "a PostScript document"),
    (b"\xff\x0a", "a JPEG XL picture"),
    (b"\x00\x00\x00\x0cJXL \r\n\x87\n", "a JPEG XL picture"),
    (b"II\xbc", "a JPEG XR picture"),
    (b"8BPS", "a Photoshop document"),
    (b"gimp xcf", "a GIMP document"),
    (b"\x00\x00\x01\x00", "an icon"),
    (b"\x00\x00\x02\x00", "a mouse pointer"),
    (b"icns", "an icon"),
    (b"IIRO", "a camera's raw picture"),
    (b"IIRS", "a camera's raw picture"),
    (b"MMOR", "a camera's raw picture"),
    (b"IIU\x00", "a camera's raw picture"),
    (b"FUJIFILMCCD-RAW", "a camera's raw picture"),
    (b"FOVb", "a camera's raw picture"),
    (b"\x00MRM", "a camera's raw picture"),
    (b"DDS ", "a texture"),
    (b"\xabKTX ", "a texture"),
    (b"v/1\x01", "an OpenEXR picture"),
    (b"#?RADIANCE", "a Radiance picture"),
    (b"#?RGBE", "a Radiance picture"),
    (b"qoif", "a QOI picture"),
    (b"FLIF", "a FLIF picture"),
    (b"BPG\xfb", "a BPG picture"),
    (b"AT&TFORM", "a DjVu document"),
    (b"\x8aMNG", "an animation"),
    (b"\x8bJNG", "a JNG picture"),
    (b"\xd7\xcd\xc6\x9a", "a vector drawing"),
    (b"SIMPLE  =", "an astronomer's picture"),
    *((b"P%d%c" % (kind, space), "a Netpbm picture") for kind in range(1, 8) for space in b" \n\r\t"),
)
RARE = "a rare kind of a known format"
# Behind "ftyp"; what is not listed is a video.
_OTHER_BRANDS = {b"crx ": "a camera's raw picture", b"jxl ": "a JPEG XL picture"} | dict.fromkeys(
    (b"mif2", b"miaf", b"avci", b"avcs", b"j2ki", b"j2is", b"jpeg", b"vvic"), RARE
)


def looks_like_picture(head: bytes) -> bool:
    """Whether a file that begins so (16 bytes are enough) is of a format that is read here."""
    return (
        head.startswith(_PICTURE_STARTS)
        or (head[:4] == b"RIFF" and head[8:12] == b"WEBP")
        or (head[4:8] == b"ftyp" and head[8:12] in _PICTURE_BRANDS)
        # "BM" alone could begin a text: the four reserved bytes of the header are zeros.
        or (head[:2] == b"BM" and head[6:10] == bytes(4))
    )


def other_kind(data: bytes) -> str | None:
    """What a file is that is no picture read here, with its article ("a video"); None where nobody knows."""
    head = data[:512].removeprefix(b"\xef\xbb\xbf").lstrip()
    kind = next(
        (kind for start, kind in _OTHER_STARTS if data.startswith(start) or head.startswith(start)), None
    )
    if kind is None and data[4:8] == b"ftyp":
        kind = _OTHER_BRANDS.get(data[8:12], "a video")
    if kind is None and data[40:44] == b" EMF" and data[:4] == b"\1\0\0\0":
        kind = "a vector drawing"
    if kind is None and data[:4] == b"RIFF":
        kind = "a video or a sound"
    if kind is None and b"<svg" in head:
        kind = "a vector drawing"
    return kind
