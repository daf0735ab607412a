"""What people send: pictures of every kind come out upright, anything else is refused in a clear sentence."""

import struct
import time
import warnings
import zlib
from io import BytesIO

import pytest
from PIL import Image, ImageDraw
from PIL.Image import Transpose

from inference.pictures import MAX_BYTES, WORKING_PIXELS, load_picture, looks_like_picture
from inference.types import PictureError
from tests.drawing import bomb_png_bytes

RED, GREEN, BLUE, WHITE = (220, 30, 30), (30, 180, 60), (40, 60, 220), (255, 255, 255)


def corners(width: int = 120, height: int = 80) -> Image.Image:
    """Red, green / blue, white: any turn or mirroring shows."""
    image = Image.new("RGB", (width, height), WHITE)
    draw = ImageDraw.Draw(image)
    half = (width // 2, height // 2)
    draw.rectangle((0, 0, half[0] - 1, half[1] - 1), fill=RED)
    draw.rectangle((half[0], 0, width, half[1] - 1), fill=GREEN)
    draw.rectangle((0, half[1], half[0] - 1, height), fill=BLUE)
    return image


def encoded(image: Image.Image, format: str = "PNG", **options: object) -> bytes:
    buffer = BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def assert_upright(image: Image.Image, tolerance: int = 40) -> None:
    assert image.mode == "RGB"
    width, height = image.size
    quarters = [(1, 1), (3, 1), (1, 3), (3, 3)]
    for (x, y), expected in zip(quarters, (RED, GREEN, BLUE, WHITE), strict=True):
        found = image.getpixel((width * x // 4, height * y // 4))
        assert isinstance(found, tuple)
        assert all(abs(a - b) <= tolerance for a, b in zip(found, expected, strict=True)), (x, y, found)


def refused(data: bytes) -> PictureError:
    with pytest.raises(PictureError) as caught:
        load_picture(data)
    sentence = str(caught.value)
    assert sentence.endswith(".") and "\n" not in sentence and "send" in sentence, sentence
    return caught.value


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF", "AVIF", "HEIF", "JPEG2000"])
def test_every_format_people_send(format: str) -> None:
    picture = load_picture(encoded(corners(), format))
    assert (picture.width, picture.height, picture.notes) == (120, 80, ())
    assert_upright(picture.image)


def test_an_exif_rotated_photo_comes_out_upright() -> None:
    undo = {
        1: None,
        2: Transpose.FLIP_LEFT_RIGHT,
        3: Transpose.ROTATE_180,
        4: Transpose.FLIP_TOP_BOTTOM,
        5: Transpose.TRANSPOSE,
        6: Transpose.ROTATE_90,
        7: Transpose.TRANSVERSE,
        8: Transpose.ROTATE_270,
    }
    for orientation, transposition in undo.items():
        stored = corners() if transposition is None else corners().transpose(transposition)
        exif = Image.Exif()
        exif[0x0112] = orientation
        picture = load_picture(encoded(stored, "JPEG", exif=exif, quality=95))
        assert (picture.width, picture.height) == picture.image.size == (120, 80), orientation
        assert_upright(picture.image)


def test_a_large_rotated_photo_is_reduced_and_keeps_its_true_size() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    stored = corners(4800, 3600).transpose(Transpose.ROTATE_90)
    picture = load_picture(encoded(stored, "JPEG", exif=exif))
    assert (picture.width, picture.height) == (4800, 3600)
    assert picture.image.width * picture.image.height <= WORKING_PIXELS * 1.01
    assert picture.image.width / picture.image.height == pytest.approx(4 / 3, rel=0.01)
    assert_upright(picture.image)


def test_a_long_strip_is_not_squeezed() -> None:
    picture = load_picture(encoded(corners(700, 12_000)))
    assert picture.image.size == (700, 12_000)


def test_broken_exif_does_not_spoil_a_good_picture() -> None:
    data = encoded(corners(), "JPEG", exif=b"Exif\x00\x00II*\x00\xff\xff\xff\x7fgarbage")
    assert_upright(load_picture(data).image)


def test_cmyk() -> None:
    assert_upright(load_picture(encoded(corners().convert("CMYK"), "JPEG", quality=95)).image)


def test_sixteen_bits_of_grey_are_scaled_and_not_clipped() -> None:
    ramp = Image.new("I;16", (256, 4))
    for x in range(256):
        for y in range(4):
            ramp.putpixel((x, y), x * 257)
    image = load_picture(encoded(ramp)).image
    assert [image.getpixel((x, 2)) for x in (0, 64, 128, 255)] == [(v, v, v) for v in (0, 64, 128, 255)]


def test_floats_and_32_bit_integers_are_scaled() -> None:
    floats = Image.new("F", (8, 8), 0.5)
    assert load_picture(encoded(floats, "TIFF")).image.getpixel((4, 4)) == (127, 127, 127)
    integers = Image.new("I", (8, 8), 0)
    integers.putpixel((0, 0), 1_000_000)
    image = load_picture(encoded(integers, "TIFF")).image
    assert (image.getpixel((0, 0)), image.getpixel((5, 5))) == ((255, 255, 255), (0, 0, 0))


def test_sixteen_bits_of_colour() -> None:
    """Pillow writes no 16-bit RGB, so this PNG is put together by hand."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    row = b"\x00" + struct.pack(">3H", 0xFFFF, 0x8000, 0x0100) * 4
    data = (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">2I5B", 4, 2, 16, 2, 0, 0, 0))
        + chunk(b"IDAT", zlib.compress(row * 2))
        + chunk(b"IEND", b"")
    )
    assert load_picture(data).image.getpixel((1, 1)) == (255, 128, 1)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparency_lies_on_white(mode: str) -> None:
    image = Image.new("RGBA", (40, 40), (0, 0, 0, 0))
    ImageDraw.Draw(image).rectangle((0, 0, 19, 39), fill=(0, 0, 0, 255))
    if mode == "P":
        data = encoded(image.quantize(8), "PNG")
        assert Image.open(BytesIO(data)).mode == "P"
    else:
        data = encoded(image.convert(mode))
    shown = load_picture(data).image
    assert (shown.getpixel((5, 20)), shown.getpixel((35, 20))) == ((0, 0, 0), WHITE)


def test_a_palette_without_transparency() -> None:
    assert_upright(load_picture(encoded(corners().quantize(16))).image)


@pytest.mark.parametrize("format", ["GIF", "WEBP", "PNG", "AVIF"])
def test_of_an_animation_the_first_frame_is_taken_and_it_is_said(format: str) -> None:
    options = {"lossless": True} if format == "WEBP" else {}
    data = encoded(
        corners(),
        format,
        save_all=True,
        append_images=[Image.new("RGB", (120, 80), shade) for shade in (BLUE, GREEN)],
        duration=100,
        **options,
    )
    picture = load_picture(data)
    assert picture.notes == ("first_frame",)
    assert_upright(picture.image)


def test_an_animation_cut_off_after_its_first_frame_is_still_shown() -> None:
    frames = [Image.effect_noise((120, 80), 90 + shade).convert("RGB") for shade in range(3)]
    data = encoded(corners(), "GIF", save_all=True, append_images=frames, duration=100)
    assert_upright(load_picture(data[: len(data) * 3 // 4]).image)


def test_an_empty_file() -> None:
    assert refused(b"").code == "empty"


def test_a_text_file_named_jpg() -> None:
    assert refused("Это не картинка, а письмо.\n".encode() * 20).code == "not_a_picture"
    assert refused(b"BM I am a letter about BM").code == "not_a_picture"


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "TIFF", "HEIF", "AVIF", "GIF"])
@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.9])
def test_a_truncated_picture(format: str, share: float) -> None:
    noise = Image.effect_noise((300, 200), 80).convert("RGB")
    data = encoded(noise, format)
    assert refused(data[: max(16, int(len(data) * share))]).code == "truncated"


def test_a_truncated_progressive_jpeg() -> None:
    data = encoded(Image.effect_noise((300, 200), 80).convert("RGB"), "JPEG", progressive=True)
    assert refused(data[: len(data) // 2]).code == "truncated"


def test_a_decompression_bomb_is_refused_before_it_is_decoded() -> None:
    data = bomb_png_bytes(30_000)
    assert len(data) < 1_000_000
    started = time.process_time()
    error = refused(data)
    assert error.code == "too_many_pixels"
    assert time.process_time() - started < 0.2, "900 million pixels take seconds: they must not be decoded"


def test_a_picture_somewhat_over_the_limit_is_refused_with_its_size() -> None:
    error = refused(bomb_png_bytes(8000))
    assert error.code == "too_many_pixels"
    assert "8000 x 8000" in str(error)


def test_the_limit_of_pixels_can_be_set() -> None:
    data = encoded(corners())
    with pytest.raises(PictureError) as caught:
        load_picture(data, max_pixels=120 * 80 - 1)
    assert caught.value.code == "too_many_pixels"
    assert load_picture(data, max_pixels=120 * 80).width == 120


def test_a_file_over_the_limit_of_bytes() -> None:
    assert refused(encoded(corners()) + bytes(MAX_BYTES)).code == "too_large"


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"\x00\x00\x00\x20ftypisom\x00\x00\x02\x00isomiso2avc1mp41" + bytes(64), "video"),
        (b"\x1aE\xdf\xa3\x01\x00\x00\x00\x00\x00\x00\x1fB\x86" + bytes(64), "video"),
        (b"RIFF\x24\x00\x00\x00AVI LIST" + bytes(64), "video"),
        (b"OggS\x00\x02" + bytes(22) + b"\x01OpusHead" + bytes(64), "voice"),
        (b"ID3\x04\x00" + bytes(64), "sound"),
        (b"\x1f\x8b\x08\x00" + bytes(64), "sticker"),
        (b"%PDF-1.7\n" + bytes(64), "PDF"),
        (b"PK\x03\x04" + bytes(64), "archive"),
        (b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"/>', "drawing"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n", "PostScript"),
    ],
)
def test_what_is_not_a_picture_is_called_by_its_name(data: bytes, kind: str) -> None:
    error = refused(data)
    assert error.code == "unsupported"
    assert kind in str(error)


def test_noise_of_any_kind_is_refused_and_nothing_else_is_raised() -> None:
    """Every byte of a small picture damaged in turn: a picture or a PictureError, never another error."""
    for format in ("PNG", "JPEG", "GIF", "WEBP", "TIFF", "BMP"):
        good = encoded(corners(16, 12), format)
        for position in range(0, len(good), max(1, len(good) // 150)):
            bad = bytearray(good)
            bad[position] ^= 0xFF
            try:
                assert load_picture(bytes(bad)).image.mode == "RGB"
            except PictureError as error:
                assert str(error)


def test_no_warning_of_a_decoder_reaches_the_caller() -> None:
    image = corners().quantize(16)
    data = encoded(image, "PNG", transparency=bytes([0] * 4 + [255] * 12))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load_picture(data)


def test_pictures_are_told_from_other_files_by_their_first_bytes() -> None:
    for format in ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF", "AVIF", "HEIF", "JPEG2000"):
        assert looks_like_picture(encoded(corners(), format)[:16]), format
    for head in (b"", b"BM, dear friend", b"\x00\x00\x00\x20ftypisom", b"RIFF\x24\x00\x00\x00WAVE", b"Hello"):
        assert not looks_like_picture(head)
