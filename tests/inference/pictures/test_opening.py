"""What people send: pictures of every kind come out upright, anything else is refused in a clear sentence."""

import struct
import time
import tracemalloc
import warnings
import zlib
from io import BytesIO

import pytest
from PIL import Image, ImageChops, ImageDraw, ImageStat
from PIL.Image import Transpose
from PIL.PngImagePlugin import PngInfo
from PIL.TiffImagePlugin import ImageFileDirectory_v2, TiffImageFile

from inference.common.types import PictureError
from inference.pictures.kinds import looks_like_picture
from inference.pictures.opening import MAX_BYTES, WORKING_PIXELS, load_picture, upright_size
from tests.drawing import bomb_png_bytes, font
from tests.reliability.hostile import many_scans

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


_UNDO = {
    1: None,
    2: Transpose.FLIP_LEFT_RIGHT,
    3: Transpose.ROTATE_180,
    4: Transpose.FLIP_TOP_BOTTOM,
    5: Transpose.TRANSPOSE,
    6: Transpose.ROTATE_90,
    7: Transpose.TRANSVERSE,
    8: Transpose.ROTATE_270,
}


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF", "HEIF", "AVIF", "TIFF packed", "MPO"])
def test_the_upright_size_is_told_alike_by_header_and_picture(format: str, orientation: int) -> None:
    undo = _UNDO[orientation]
    stored = corners() if undo is None else corners().transpose(undo)
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"compression": "tiff_lzw"} if format == "TIFF packed" else {}
    data = encoded(stored, format.removesuffix(" packed"), exif=exif.tobytes(), **options)
    picture = load_picture(data)
    assert upright_size(data) == (picture.width, picture.height) == picture.image.size == (120, 80)
    assert_upright(picture.image)


XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF", "HEIF", "AVIF"])
@pytest.mark.parametrize("exif_too", [True, False])
def test_a_turn_that_is_told_in_xmp_as_well_is_made_once(format: str, exif_too: bool) -> None:
    exif = Image.Exif()
    if exif_too:
        exif[0x0112] = 6
    options: dict[str, object] = {"exif": exif.tobytes()} if exif_too else {}
    if format == "PNG":
        info = PngInfo()
        info.add_itxt("XML:com.adobe.xmp", XMP.decode())
        options["pnginfo"] = info
    elif format == "TIFF":
        directory = ImageFileDirectory_v2()
        directory[700] = XMP
        if exif_too:
            directory[0x0112] = 6
        options = {"tiffinfo": directory}
    else:
        options["xmp"] = XMP
    data = encoded(corners().transpose(Transpose.ROTATE_90), format, **options)
    picture = load_picture(data)
    assert upright_size(data) == (picture.width, picture.height) == picture.image.size == (120, 80)
    assert_upright(picture.image)


def test_the_size_of_a_png_is_told_without_decoding_it() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encoded(speckled().resize((4000, 3000), Image.Resampling.NEAREST), exif=exif, compress_level=1)
    start = data.index(b"eXIf") - 4
    length = int.from_bytes(data[start : start + 4], "big") + 12
    behind = data[:start] + data[start + length : -12] + data[start : start + length] + data[-12:]
    started = time.process_time()
    assert upright_size(behind) == (3000, 4000)
    spent = time.process_time() - started
    started = time.process_time()
    assert load_picture(behind).image.width < load_picture(behind).image.height
    assert spent < (time.process_time() - started) / 4


def test_a_large_rotated_photo_is_reduced_and_keeps_its_true_size() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    stored = corners(4800, 3600).transpose(Transpose.ROTATE_90)
    picture = load_picture(encoded(stored, "JPEG", exif=exif))
    assert (picture.width, picture.height) == (4800, 3600)
    assert picture.image.width * picture.image.height <= WORKING_PIXELS * 1.01
    assert picture.image.width / picture.image.height == pytest.approx(4 / 3, rel=0.01)
    assert_upright(picture.image)


def test_a_large_jpeg_is_decoded_in_the_detail_that_is_looked_at() -> None:
    picture = load_picture(encoded(corners(4032, 3024), "JPEG"))
    assert (picture.width, picture.height, picture.image.size) == (4032, 3024, (2016, 1512))
    assert_upright(picture.image)


@pytest.mark.parametrize("size", [(2400, 1800), (1080, 7000)])
def test_print_that_may_be_small_keeps_its_detail(size: tuple[int, int]) -> None:
    assert load_picture(encoded(corners(*size), "JPEG")).image.size == size


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

    row = b"\x00" + struct.pack(">3H", 0xFFFF, 0x8000, 0x0100) * 4
    data = (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">2I5B", 4, 2, 16, 2, 0, 0, 0))
        + chunk(b"IDAT", zlib.compress(row * 2))
        + chunk(b"IEND", b"")
    )
    assert load_picture(data).image.getpixel((1, 1)) == (255, 128, 1)


def lettered(*lines: tuple[str, tuple[int, ...]], size: tuple[int, int] = (320, 200)) -> Image.Image:
    """Lines of letters on nothing."""
    image = Image.new("RGBA", size, (*lines[0][1][:3], 0))
    for number, (text, colour) in enumerate(lines):
        ImageDraw.Draw(image).text((20, 20 + 60 * number), text, fill=colour, font=font(40))
    return image


def contrast(shown: Image.Image, where: tuple[int, int, int, int]) -> int:
    """Between the brightest and the darkest there, 0..255."""
    darkest, brightest = shown.crop(where).convert("L").getextrema()
    assert isinstance(darkest, int)
    assert isinstance(brightest, int)
    return brightest - darkest


FIRST, SECOND = (0, 20, 320, 75), (0, 80, 320, 135)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_black_on_transparency_lies_on_white(mode: str) -> None:
    image = Image.new("RGBA", (40, 40), (0, 0, 0, 0))
    ImageDraw.Draw(image).rectangle((0, 0, 19, 39), fill=(0, 0, 0, 255))
    if mode == "P":
        data = encoded(image.quantize(8), "PNG")
        assert Image.open(BytesIO(data)).mode == "P"
    else:
        data = encoded(image.convert(mode))
    shown = load_picture(data).image
    assert (shown.getpixel((5, 20)), shown.getpixel((35, 20))) == ((0, 0, 0), WHITE)


@pytest.mark.parametrize("format", ["PNG", "WEBP", "GIF", "AVIF", "TIFF", "HEIF", "JPEG2000"])
def test_white_letters_on_transparency_lie_on_a_dark_ground(format: str) -> None:
    options = {"lossless": True} if format == "WEBP" else {}
    shown = load_picture(encoded(lettered(("СЛОВО", (255, 255, 255, 255))), format, **options)).image
    assert max(shown.crop((2, 190, 3, 191)).tobytes()) < 40
    assert contrast(shown, FIRST) > 200


@pytest.mark.parametrize("mode", ["LA", "P"])
def test_white_letters_in_grey_and_in_a_palette(mode: str) -> None:
    image = lettered(("СЛОВО", (255, 255, 255, 255)))
    data = encoded(image.quantize(8) if mode == "P" else image.convert(mode))
    assert contrast(load_picture(data).image, FIRST) > 200


@pytest.mark.parametrize(
    "colour",
    [
        (255, 255, 255, 255),
        (200, 200, 200, 255),
        (255, 240, 0, 255),
        (255, 255, 255, 140),
        (0, 0, 0, 255),
        (20, 30, 120, 255),
        (0, 0, 0, 140),
        (128, 128, 128, 255),
    ],
)
def test_letters_of_any_colour_stand_out(colour: tuple[int, ...]) -> None:
    shown = load_picture(encoded(lettered(("СЛОВО", colour)))).image
    assert contrast(shown, FIRST) > 110


def test_white_and_black_letters_on_transparency_both_stand_out() -> None:
    both = lettered(("СЛОВО", (255, 255, 255, 255)), ("ДЕЛО", (0, 0, 0, 255)))
    shown = load_picture(encoded(both)).image
    assert contrast(shown, FIRST) > 90
    assert contrast(shown, SECOND) > 90
    few = lettered(("СЛОВО И ДЕЛО", (255, 255, 255, 255)), ("я", (0, 0, 0, 255)))
    assert contrast(load_picture(encoded(few)).image, SECOND) > 90, "one letter must not vanish for many"


def test_thin_white_letters_on_a_large_picture_stand_out() -> None:
    image = Image.new("RGBA", (2400, 1800), (255, 255, 255, 0))
    ImageDraw.Draw(image).text((60, 60), "тонкие слова", fill=(255, 255, 255, 255), font=font(28, bold=False))
    assert contrast(load_picture(encoded(image)).image, (0, 40, 600, 120)) > 150


def test_a_sticker_keeps_its_white_ground() -> None:
    """Its white outline vanishes there, nothing else does."""
    image = Image.new("RGBA", (512, 512), (0, 0, 0, 0))
    draw = ImageDraw.Draw(image)
    draw.ellipse((60, 60, 450, 450), fill=(255, 255, 255, 255))
    draw.ellipse((69, 69, 441, 441), fill=(230, 140, 40, 255))
    draw.ellipse((160, 180, 200, 220), fill=(20, 20, 20, 255))
    shown = load_picture(encoded(image, "WEBP")).image
    assert shown.getpixel((5, 5)) == WHITE
    outlined = Image.new("RGBA", (320, 200), (0, 0, 0, 0))
    ImageDraw.Draw(outlined).text(
        (20, 20), "СЛОВО", fill=(255, 255, 255), font=font(40), stroke_width=3, stroke_fill=(0, 0, 0)
    )
    assert load_picture(encoded(outlined)).image.getpixel((2, 190)) == WHITE


def test_rounded_corners_are_white() -> None:
    for shade in ((250, 250, 250), (20, 20, 20)):
        mask = Image.new("L", (320, 200), 0)
        ImageDraw.Draw(mask).rounded_rectangle((0, 0, 319, 199), 14, fill=255)
        image = Image.new("RGB", (320, 200), shade)
        image.putalpha(mask)
        assert load_picture(encoded(image)).image.getpixel((0, 0)) == WHITE


def test_letters_cut_out_of_white_can_be_read() -> None:
    mask = Image.new("L", (320, 200), 255)
    ImageDraw.Draw(mask).text((20, 20), "СЛОВО", fill=0, font=font(40))
    image = Image.new("RGB", (320, 200), WHITE)
    image.putalpha(mask)
    assert contrast(load_picture(encoded(image)).image, FIRST) > 200


def test_an_alpha_channel_that_is_0_everywhere_is_none() -> None:
    image = corners().convert("RGBA")
    image.putalpha(0)
    for format in ("PNG", "BMP", "TIFF"):
        assert_upright(load_picture(encoded(image, format)).image)
    assert_upright(load_picture(encoded(image, "WEBP", lossless=True, exact=True)).image)
    grey = Image.new("LA", (40, 40), (77, 0))
    assert load_picture(encoded(grey)).image.getpixel((3, 3)) == (77, 77, 77)


def test_a_32_bit_bitmap_that_never_filled_its_alpha_in_is_shown() -> None:
    """Written as programs do that know no transparency: masks for all four, and zeros in the last."""
    rows = corners().transpose(Transpose.FLIP_TOP_BOTTOM).convert("RGBA")
    rows.putalpha(0)
    red, green, blue, alpha = rows.split()
    pixels = Image.merge("RGBA", (blue, green, red, alpha)).tobytes()
    masks = struct.pack("<4I", 0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    sizes = struct.pack("<IiiHHIIiiII", 108, 120, 80, 1, 32, 3, len(pixels), 2835, 2835, 0, 0)
    header = sizes + masks + b"BGRs" + bytes(48)
    data = (
        b"BM" + struct.pack("<IHHI", 14 + len(header) + len(pixels), 0, 0, 14 + len(header)) + header + pixels
    )
    assert_upright(load_picture(data).image)


def test_a_white_picture_with_transparency_stays_white() -> None:
    for alpha in (0, 128, 255):
        shown = load_picture(encoded(Image.new("RGBA", (60, 40), (255, 255, 255, alpha)))).image
        assert shown.getextrema() == ((255, 255),) * 3


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


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "TIFF", "HEIF", "AVIF", "GIF", "BMP", "JPEG2000"])
@pytest.mark.parametrize("share", [0.02, 0.3])
def test_a_picture_of_which_most_is_missing_is_refused(format: str, share: float) -> None:
    noise = Image.effect_noise((300, 200), 80).convert("RGB")
    data = encoded(noise, format)
    assert refused(data[: max(16, int(len(data) * share))]).code == "truncated"


def speckled(width: int = 300, height: int = 200) -> Image.Image:
    """Every row is another, and there is something in all of it."""
    across = Image.linear_gradient("L").rotate(90).resize((width, height))
    down = Image.linear_gradient("L").resize((width, height))
    noise = Image.effect_noise((width, height), 60)
    return Image.merge("RGB", (across, down, noise))


@pytest.mark.parametrize(
    ("format", "options"),
    [
        ("PNG", {}),
        ("JPEG", {}),
        ("WEBP", {}),
        ("WEBP", {"lossless": True}),
        ("GIF", {}),
        ("BMP", {}),
        ("TIFF", {}),
        ("HEIF", {"quality": 90}),
        ("AVIF", {"quality": 90}),
    ],
)
def test_of_a_picture_whose_last_rows_are_missing_the_others_are_shown(
    format: str, options: dict[str, object]
) -> None:
    data = encoded(speckled(), format, **options)
    whole = load_picture(data).image
    picture = load_picture(data[: int(len(data) * 0.93)])
    assert picture.notes == ("partial",)
    assert (picture.width, picture.height) == (300, 200), "the size is the original's"
    rows = picture.image.height
    assert picture.image.width == 300
    assert 100 < rows < 200
    top = 200 - rows if format == "BMP" else 0  # a BMP is written from the bottom up
    shown = whole.crop((0, top, 300, top + rows))
    difference = ImageChops.difference(picture.image, shown).convert("L")
    assert ImageStat.Stat(difference).mean[0] < 1, "no row is made up"


@pytest.mark.parametrize("ending", [b"", b"\xff\xd9", bytes(2000)], ids=["none", "a mark", "zeros"])
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_the_grey_filler_of_a_jpeg_is_not_shown(mode: str, ending: bytes) -> None:
    """Downloads end early, are closed by a server, or have their full length before they have their bytes."""
    data = encoded(speckled().convert(mode), "JPEG")
    picture = load_picture(data[: int(len(data) * 0.8)] + ending)
    assert picture.notes == ("partial",)
    assert 120 < picture.image.height < 180
    last = picture.image.crop((0, picture.image.height - 1, 300, picture.image.height))
    assert ImageStat.Stat(last.convert("L")).stddev[0] > 5


def test_a_part_of_a_turned_picture_is_shown_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encoded(corners().resize((480, 320)).transpose(Transpose.ROTATE_90), "JPEG", exif=exif)
    scan = data.index(b"\xff\xda")
    picture = load_picture(data[: scan + (len(data) - scan) * 9 // 10])
    assert (picture.width, picture.height, picture.image.height) == (480, 320, 320)
    assert 240 < picture.image.width < 480, "what was stored last stands at the left"


def test_a_large_jpeg_that_is_cut_is_reduced_like_others() -> None:
    noise = speckled(600, 400).resize((5400, 3600), Image.Resampling.NEAREST)
    data = encoded(noise, "JPEG")
    picture = load_picture(data[: len(data) * 3 // 4])
    assert (picture.width, picture.height, picture.notes) == (5400, 3600, ("partial",))
    whole = load_picture(data).image
    assert picture.image.width == whole.width
    assert whole.height * 0.6 < picture.image.height < whole.height * 0.9


def test_a_progressive_jpeg_that_lacks_its_last_scans_is_shown_whole() -> None:
    data = encoded(speckled(), "JPEG", progressive=True, quality=90)
    assert refused(data[: data.index(b"\xff\xda") + 200]).code == "truncated"
    picture = load_picture(data[: len(data) * 9 // 10])
    assert (picture.notes, picture.image.size) == (("partial",), (300, 200))
    whole = load_picture(data[:-2])
    assert (whole.notes, whole.image.size) == ((), (300, 200)), "only the end mark is missing"


def test_a_jpeg_that_is_grey_at_its_end_is_whole() -> None:
    data = encoded(Image.new("RGB", (300, 200), (128, 128, 128)), "JPEG")
    assert (load_picture(data).notes, load_picture(data).image.size) == ((), (300, 200))


def test_an_interlaced_gif_that_is_cut() -> None:
    data = encoded(speckled().convert("L"), "GIF", interlace=1)
    # The upper rows come in four rounds: of the last one, most is needed.
    assert refused(data[: len(data) // 2]).code == "truncated"
    picture = load_picture(data[: int(len(data) * 0.97)])
    assert picture.notes == ("partial",)
    rows = picture.image.height
    expected = load_picture(data).image.crop((0, 0, 300, rows))
    assert picture.image.tobytes() == expected.tobytes()


# --- side data ---


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def shown_whole(data: bytes) -> None:
    picture = load_picture(data)
    assert (picture.width, picture.height, picture.notes) == (120, 80, ())
    assert upright_size(data) == (120, 80)
    assert_upright(picture.image)


PACKED = zlib.compress(b"a" * 3_000_000)
PNG_SIDE_DATA = {
    "3 MB of packed text": chunk(b"iTXt", b"key\0\1\0\0\0" + PACKED),
    "3 MB of old packed text": chunk(b"zTXt", b"key\0\0" + PACKED),
    "3 MB of XMP": chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + PACKED),
    "80 MB of plain text": chunk(b"tEXt", b"key\0" + b"a" * 900_000) * 45,
    "a huge colour profile": chunk(b"iCCP", b"name\0\0" + PACKED),
    "an unknown packing of a profile": chunk(b"iCCP", b"name\0\7junk"),
    "a wrong checksum": chunk(b"tEXt", b"key\0text")[:-4] + b"1234",
    "broken EXIF": chunk(b"eXIf", b"II*\0\xff\xff\xff\xff"),
    "a gamma that is too short": chunk(b"gAMA", b"1"),
    "a resolution that is too short": chunk(b"pHYs", b"1"),
    "transparency of another kind": chunk(b"tRNS", b"1"),
    "a broken animation": chunk(b"acTL", b"1") + chunk(b"fcTL", b"1"),
    "a frame outside of the picture": chunk(b"acTL", struct.pack(">2I", 1, 0))
    + chunk(b"fcTL", struct.pack(">5I2H2B", 0, 9000, 9000, 0, 0, 1, 1, 0, 0)),
    "an unknown chunk": chunk(b"abCd", b"1234"),
    "a length that is too long": struct.pack(">I", 90_000) + b"tEXtkey\0text1234",
    "a length that is too short": struct.pack(">I", 1) + b"tEXtkey\0text1234",
}


@pytest.mark.parametrize("side", PNG_SIDE_DATA)
def test_damaged_or_oversized_side_data_of_a_png_is_ignored(side: str) -> None:
    data = encoded(corners())
    shown_whole(data[:33] + PNG_SIDE_DATA[side] + data[33:])
    shown_whole(data[:-12] + PNG_SIDE_DATA[side] + data[-12:])


def test_a_png_whose_end_or_checksums_are_missing_is_whole() -> None:
    data = encoded(corners())
    start = data.index(b"IDAT")
    length = int.from_bytes(data[start - 4 : start], "big")
    packed = data[start + 4 : start + 4 + length]
    shown_whole(data[:-12])
    shown_whole(data[:-5])
    shown_whole(data + b"garbage" * 1000)
    shown_whole(data[:29] + b"1234" + data[33:])
    shown_whole(data[: start + 4 + length] + b"1234" + data[start + 8 + length :])
    shown_whole(data[: start - 4] + chunk(b"IDAT", packed[:-4] + b"1234") + data[-12:])


def test_a_bomb_in_the_side_data_of_a_png_is_not_unpacked() -> None:
    bomb = chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(bytes(300_000_000)))
    data = encoded(corners())
    data = data[:33] + bomb + data[33:]
    tracemalloc.start()
    shown_whole(data)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 20_000_000


def segment(marker: int, body: bytes, length: int | None = None) -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">H", len(body) + 2 if length is None else length) + body


JPEG_SIDE_DATA = {
    "a broken profile": segment(0xE2, b"ICC_PROFILE\0\1\1junk"),
    "a profile of missing parts": segment(0xE2, b"ICC_PROFILE\0\2\3junk"),
    "13 MB of profile": segment(0xE2, b"ICC_PROFILE\0\1\1" + bytes(65_000)) * 200,
    "broken EXIF": segment(0xE1, b"Exif\0\0junk"),
    "a broken list of pictures": segment(0xE2, b"MPF\0junk"),
    "broken Photoshop data": segment(0xED, b"Photoshop 3.0\x008BIM\4\4"),
    "a short Adobe segment": segment(0xEE, b"Adobe"),
    "a short JFIF segment": segment(0xE0, b"JFIF"),
    "marks in a comment": segment(0xFE, b"\xff\xd8\xff\xd9"),
    "a length of 0": segment(0xE5, b"", 0),
    "a length that is too short": segment(0xE5, b"abcdefgh", 4),
    "a length that is too long": segment(0xE5, b"abc", 900),
    "unknown marks": b"\xff\x02\xff\x05",
    "bytes of nothing": b"junk",
}


@pytest.mark.parametrize("side", JPEG_SIDE_DATA)
def test_damaged_or_oversized_side_data_of_a_jpeg_is_ignored(side: str) -> None:
    data = encoded(corners(), "JPEG", quality=95)
    shown_whole(data[:20] + JPEG_SIDE_DATA[side] + data[20:])


@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg_whose_end_is_missing_is_whole(progressive: bool) -> None:
    data = encoded(corners(), "JPEG", quality=95, progressive=progressive)
    for ended in (data[:-2], data[:-1], data[:-2] + bytes(5000), data + b"garbage" * 1000, data + data):
        shown_whole(ended)


def test_side_data_of_a_webp_is_ignored() -> None:
    data = encoded(corners(), "WEBP", exif=b"Exif\0\0II*\0junk", icc_profile=b"junk", xmp=b"junk")
    xmp = data.index(b"XMP ")
    for odd in (
        data,
        data[:-3],
        data[: xmp - 3],
        data[: xmp + 4] + b"\xff\xff\0\0" + data[xmp + 8 :],
        data[:4] + struct.pack("<I", len(data) + 60) + data[8:],
        data + b"garbage" * 100,
        encoded(corners(), "WEBP")[:-1],
    ):
        shown_whole(odd)


def test_a_webp_keeps_its_turn_when_its_profile_is_damaged() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encoded(corners().transpose(Transpose.ROTATE_90), "WEBP", exif=exif, icc_profile=b"junk")
    shown_whole(data.replace(b"ICCP\4\0\0\0", b"ICCP\3\0\0\0"))


def test_side_data_of_a_gif_is_ignored() -> None:
    data = encoded(corners(), "GIF", comment=b"hello" * 100)
    start = data.index(b"\x21\xfe")
    for odd in (
        data[:-1],
        data[:-2],
        data + b"garbage",
        data[:-1] + b"\x21\xfe\xff",
        data[:start] + b"\x21\xff\x0bNETSCAPE2.0\3\1" + data[start:],
    ):
        shown_whole(odd)


@pytest.mark.parametrize(
    "entry",
    [
        (34675, 7, 1000, 2**31),  # a profile behind the end
        (34675, 7, 2**31, 8),
        (270, 2, 50, 2**30),  # a description behind the end
        (700, 99, 1, 1),  # a type that does not exist
        (34665, 4, 1, 2**30),  # EXIF behind the end
        (34377, 7, 100, 2**29),
        (274, 3, 1, 9),  # an orientation that does not exist
    ],
)
def test_odd_tags_of_a_tiff_are_ignored(entry: tuple[int, int, int, int]) -> None:
    data = encoded(corners(), "TIFF")
    start = int.from_bytes(data[4:8], "little")
    count = int.from_bytes(data[start : start + 2], "little")
    entries = [data[at : at + 12] for at in range(start + 2, start + 2 + 12 * count, 12)]
    entries = sorted([*entries, struct.pack("<HHII", *entry)], key=lambda one: struct.unpack("<H", one[:2]))
    table = struct.pack("<H", count + 1) + b"".join(entries) + bytes(4)
    shown_whole(data[:4] + struct.pack("<I", len(data)) + data[8:] + table)


@pytest.mark.parametrize("format", ["HEIF", "AVIF"])
def test_side_data_of_a_heic_or_avif_is_ignored(format: str) -> None:
    options = {"icc_profile": b"junk" * 9} if format == "HEIF" else {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the writer
        data = encoded(corners(), format, exif=b"Exif\0\0II*\0junkjunk", xmp=b"<junk", **options)
    shown_whole(data)


@pytest.mark.parametrize("options", [{}, {"no_jp2": True}], ids=["a file", "a stream"])
def test_a_jpeg_2000_whose_end_mark_is_missing_is_whole(options: dict[str, object]) -> None:
    shown_whole(encoded(corners(), "JPEG2000", **options)[:-2])


# --- several pictures in a file ---


def test_of_several_pages_the_first_is_taken_and_it_is_said() -> None:
    pages = [Image.new("RGB", (120, 80), shade) for shade in (BLUE, GREEN)]
    for format in ("TIFF", "HEIF"):
        picture = load_picture(encoded(corners(), format, save_all=True, append_images=pages))
        assert picture.notes == ("first_page",), format
        assert_upright(picture.image)
    compressed = encoded(corners(), "TIFF", save_all=True, append_images=pages, compression="tiff_lzw")
    assert load_picture(compressed).notes == ("first_page",)


def test_a_smaller_copy_in_a_tiff_is_no_page_and_the_second_picture_of_a_phone_is_not_spoken_of() -> None:
    small = corners(30, 20)
    small.encoderinfo = {"tiffinfo": {254: 1}}  # the writer takes it from here
    pyramid = encoded(corners(), "TIFF", save_all=True, append_images=[small])
    with Image.open(BytesIO(pyramid)) as source:
        source.seek(1)
        assert isinstance(source, TiffImageFile)
        assert source.tag_v2[254] == 1
    assert load_picture(pyramid).notes == ()
    phone = encoded(corners(), "MPO", save_all=True, append_images=[small])
    assert load_picture(phone).notes == ()


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


def test_a_jpeg_of_more_scans_than_anybody_sends_is_refused_before_it_is_decoded() -> None:
    data = many_scans(1000, 20_000)
    started = time.process_time()
    assert refused(data).code == "too_costly"
    assert time.process_time() - started < 0.2, "20,000 scans take a minute: they must not be decoded"


def test_only_scans_of_the_picture_itself_are_counted() -> None:
    inner = segment(0xE1, b"\xff\xda\0\x08" * 500)  # as in a small copy of it, or by chance
    data = encoded(corners(), "JPEG", progressive=True)
    assert_upright(load_picture(data[:2] + inner + data[2:] + b"\xff\xda" * 500).image)


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
        (b"\xc5\xd0\xd3\xc6" + bytes(64), "PostScript"),
        (b"\xff\x0a" + bytes(64), "JPEG XL"),
        (b"\x00\x00\x00\x0cJXL \r\n\x87\n" + bytes(64), "JPEG XL"),
        (b"\x00\x00\x01\x00\x01\x00" + bytes(64), "icon"),
        (b"\x00\x00\x02\x00\x01\x00" + bytes(64), "pointer"),
        (b"8BPS\x00\x01" + bytes(64), "Photoshop"),
        (b"gimp xcf v011" + bytes(64), "GIMP"),
        (b"II\xbc\x01" + bytes(64), "JPEG XR"),
        (b"FUJIFILMCCD-RAW " + bytes(64), "raw"),
        (b"\x00\x00\x00\x18ftypcrx " + bytes(64), "raw"),
        (b"\x00\x00\x00\x18ftypavci" + bytes(64), "rare"),
        (b"P6\n2 2\n255\n" + bytes(64), "Netpbm"),
        (b"\xef\xbb\xbf<svg xmlns='http://www.w3.org/2000/svg'/>", "drawing"),
    ],
)
def test_what_is_not_a_picture_is_called_by_its_name(data: bytes, kind: str) -> None:
    error = refused(data)
    assert error.code == "unsupported"
    assert kind in str(error)


def test_rare_kinds_of_known_formats_are_not_called_damaged() -> None:
    tiff = encoded(corners(), "TIFF")
    compression, colours = (struct.pack("<HHIHH", tag, 3, 1, value, 0) for tag, value in ((259, 1), (262, 2)))
    jpeg = encoded(corners(), "JPEG")
    bitmap = encoded(corners(), "BMP")
    for data in (
        tiff.replace(compression, struct.pack("<HHIHH", 259, 3, 1, 52546, 0)),  # JPEG XL within
        tiff.replace(colours, struct.pack("<HHIHH", 262, 3, 1, 32803, 0)),  # a sensor's colours
        jpeg.replace(b"\xff\xc0\x00\x11\x08", b"\xff\xc0\x00\x11\x0c"),  # 12 bits
        bitmap[:30] + struct.pack("<I", 4) + bitmap[34:],  # a JPEG within
    ):
        assert refused(data).code == "unsupported"


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
