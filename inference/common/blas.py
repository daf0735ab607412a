"""The threads of numpy's matrix products."""

from __future__ import annotations

from contextlib import AbstractContextManager
from functools import cache

from threadpoolctl import ThreadpoolController

__all__ = ["one_thread"]


def one_thread() -> AbstractContextManager[object]:
    """While this holds, products of matrices of the whole process are done by the thread that asks for them.

    numpy's OpenBLAS has a thread on every processor, which spin while they wait: products of a few rows, as
    there are here, gain nothing by them, and beside other work wait for them. Whoever uses this package in a
    program of their own has their threads back afterwards. Taking and giving takes some 10 us.
    """
    limited: AbstractContextManager[object] = _libraries().limit(limits=1, user_api="blas")
    return limited


@cache
def _libraries() -> ThreadpoolController:
    return ThreadpoolController()  # looks through what is loaded, which takes a millisecond
