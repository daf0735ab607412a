"""What was found on one picture, each fact once: :meth:`inference.reading.reader.Reader.read` makes it."""

from __future__ import annotations

from dataclasses import dataclass, field

from PIL import Image

from inference.reading.geometry import Box
from inference.reading.lines import Block, Post, TextLine, blocks_of, posts_of
from inference.reading.words import Word

_PORTRAIT = 0.15  # of the picture's area, at most: what a post shows is larger than its writer's portrait


@dataclass(frozen=True, slots=True)
class Reading:
    """What stands on one picture. Places are those on the picture the right way up, as fractions (0..1).

    Two selections are made of the words, each in reading order: ``lines`` are those that a description may
    quote, the picture's message; ``listed`` are all that stand there, those that were read surely and are no
    furniture of a site or a telephone.
    """

    size: tuple[int, int]  # width and height in pixels
    frames: tuple[Box, ...] = ()  # of the pictures within it, in reading order; a page of text has none
    lines: tuple[TextLine, ...] = ()
    listed: tuple[TextLine, ...] = ()
    words: tuple[Word, ...] = ()  # as they were recognised
    upside_down: bool = False  # the picture is
    unread: float = 0.0  # the share (0..1) of what is written that could not be read; 0 unless most of it
    blocks: tuple[Block, ...] = field(init=False)  # of the lines
    listed_blocks: tuple[Block, ...] = field(init=False)  # of those listed
    posts: tuple[Post, ...] = field(init=False)  # that the lines are of

    def __post_init__(self) -> None:
        blocks = blocks_of(self.lines, self.frames)
        same = self.listed == self.lines  # as on most memes: nothing else stands there
        object.__setattr__(self, "blocks", blocks)
        object.__setattr__(self, "listed_blocks", blocks if same else blocks_of(self.listed, self.frames))
        object.__setattr__(self, "posts", posts_of(self.lines))

    @property
    def illustrated(self) -> bool:
        """Whether it shows something beside its words: a frame larger than a writer's portrait."""
        return any((right - left) * (bottom - top) > _PORTRAIT for left, top, right, bottom in self.frames)

    def upright(self, image: Image.Image) -> Image.Image:
        """The picture that was read, the right way up."""
        return image.transpose(Image.Transpose.ROTATE_180) if self.upside_down else image
