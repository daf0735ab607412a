"""From picture files to what the encoder yields, with all cores busy.

On a CPU the threads of this module share the pictures: each opens its own, and runs the encoder on them with
one thread of torch. Nothing waits for anything else, which is half again to twice as fast as one picture
after the other on all cores, and opening the files costs no time of its own. On a GPU they open pictures
while it works.

Shapes: n pictures; a memory is what an encoder yields, see :class:`inference.encoders.base.Encoder`.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import torch
from PIL import Image
from torch import Tensor

from inference.encoders.base import Encoder, Memory
from train_scripts.pictures import cores
from train_scripts.training.data import shares

__all__ = ["GROUP", "Seer", "ahead", "groups_of", "join", "pool_of", "split"]

T = TypeVar("T")
GROUP = 8  # pictures that go through the encoder together: more are no faster on a core, and take memory


def pool_of(workers: int) -> ThreadPoolExecutor:
    """Threads in which torch runs with one thread each; 0: one a core."""
    kept = torch.get_num_threads()
    workers = workers or cores()
    pool = ThreadPoolExecutor(workers, "pictures", initializer=torch.set_num_threads, initargs=(1,))
    # The number is a thread's own, but the last one set is what threads that come later begin with.
    list(pool.map(lambda _: None, range(workers)))
    torch.set_num_threads(kept)
    return pool


def groups_of(items: Sequence[T], workers: int) -> list[list[T]]:
    """In their order, at most ``GROUP`` together, and as many groups of like size for each worker: nobody
    works alone at the end."""
    rounds = math.ceil(len(items) / (GROUP * workers))
    parts = shares(range(len(items)), max(rounds * workers, 1))
    return [[items[i] for i in part] for part in parts if part]


class Seer:
    """Runs pictures through a frozen encoder, or prepares the pixels for one that is trained."""

    def __init__(self, encoder: Encoder, device: torch.device, *, encodes: bool = True) -> None:
        self.encoder = encoder
        self.device = device
        self.encodes = encodes

    def __call__(self, images: Sequence[Image.Image]) -> Memory:
        """The memory of n RGB pictures on the device; pixels (n, 3, size, size) where it is not to encode."""
        parts = []
        for start in range(0, len(images), GROUP):
            pixels = self.encoder.pixels(images[start : start + GROUP])
            # torch's convolutions are faster on a CPU where the channels of a pixel stand together.
            pixels = pixels.to(self.device, memory_format=torch.channels_last, non_blocking=True)
            if not self.encodes:
                parts.append(pixels)
                continue
            # In 32 bits also where the decoder trains in fewer: what is kept must not depend on that.
            with torch.no_grad(), torch.autocast(self.device.type, enabled=False):
                parts.append(self.encoder(pixels))
        return join(parts)


def join(parts: Sequence[Memory]) -> Memory:
    """Memories of some pictures each as the memory of all of them."""
    first = parts[0]
    if isinstance(first, Tensor):
        return first if len(parts) == 1 else torch.cat([part for part in parts if isinstance(part, Tensor)])
    return tuple(torch.cat([part[i] for part in parts]) for i in range(len(first)))


def split(memory: Memory) -> list[tuple[Tensor, ...]]:
    """One tuple of tensors a picture."""
    tensors = (memory,) if isinstance(memory, Tensor) else memory
    return list(zip(*(tensor.unbind(0) for tensor in tensors), strict=True))


def ahead(pool: ThreadPoolExecutor, tasks: Iterable[Callable[[], T]], depth: int) -> Iterator[T]:
    """The tasks' results in order, while the next ``depth`` are worked on."""
    waiting: deque[Future[T]] = deque()
    try:
        for task in tasks:
            waiting.append(pool.submit(task))
            if len(waiting) > depth:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()
