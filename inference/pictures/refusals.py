"""Why a file is refused, in one sentence that says what to do."""

from __future__ import annotations

import re

from inference.common.types import PictureError
from inference.pictures.kinds import RARE, other_kind

# Words of decoders about what they never learnt, as against what is damaged.
_UNSUPPORTED = re.compile(
    r"unsupported|not (yet )?supported|unknown (pixel|raw) mode|cannot handle|no decoder|not implemented",
    re.I,
)


def unreadable(error: BaseException | None) -> PictureError:
    """A refusal of what begins like a picture that is read here."""
    if isinstance(error, PictureError):
        return error
    # Pillow looks modes and compressions up in tables.
    if error is not None and (_UNSUPPORTED.search(str(error)) or isinstance(error.__cause__, KeyError)):
        return unsupported(RARE)
    return PictureError("truncated", "The picture is damaged or was not sent to its end: send it again.")


def unsupported(kind: str) -> PictureError:
    """A refusal of a known kind of file, named with its article."""
    return PictureError("unsupported", f"This is {kind}: send a picture, for example a JPEG or PNG.")


def too_many_pixels(max_pixels: int, has: str) -> PictureError:
    """A refusal of a picture that ``has`` more pixels than ``max_pixels``."""
    return PictureError(
        "too_many_pixels",
        f"The picture has {has}, more than the {max_pixels // 1_000_000} million that are read: "
        "send a smaller copy.",
    )


def too_costly() -> PictureError:
    """A refusal of what takes more time or memory than one file may."""
    return PictureError(
        "too_costly",
        "The picture takes too much time or memory to open: send a screenshot of it, or a smaller copy.",
    )


def not_a_picture(data: bytes) -> PictureError:
    """A refusal of what begins like nothing that is read here."""
    kind = other_kind(data)
    if kind is not None:
        return unsupported(kind)
    return PictureError("not_a_picture", "This is not a picture: send a JPEG, PNG, WebP, GIF or HEIC file.")
