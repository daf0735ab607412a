"""Products of a few rows with a large matrix, which take nearly all of a decoder's step."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

_FEW = 64  # rows; with more, torch's own choice is as good

# The product that torch.compile uses. On 2 to 64 rows it takes 0.6 times as long as MKL's behind addmm, on a
# machine that has other work to do far less.
_ONEDNN: Any = None
if torch._C._has_mkldnn and hasattr(torch.ops.mkldnn, "_linear_pointwise"):
    _ONEDNN = torch.ops.mkldnn._linear_pointwise


def _by_onednn(x: Tensor, weight: Tensor) -> bool:
    return (
        _ONEDNN is not None
        and x.device.type == "cpu"
        and x.dtype == weight.dtype == torch.float32
        and x.numel() <= _FEW * x.shape[-1]
        and not (torch.is_grad_enabled() and (x.requires_grad or weight.requires_grad))
    )


def linear(x: Tensor, weight: Tensor) -> Tensor:
    """``x`` (..., i) times the rows of ``weight`` (o, i): (..., o)."""
    if not _by_onednn(x, weight):
        return functional.linear(x, weight)
    product: Tensor = _ONEDNN(x, weight, None, "none", [], "")
    return product


def conv1d(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """GPT-2's linear layer, whose ``weight`` (i, o) is kept transposed: ``x`` (..., i) to (..., o)."""
    rows = x.reshape(-1, x.shape[-1])
    # A single row is as fast as the weights can be read, in the order in which they lie there.
    if len(rows) > 1 and _by_onednn(rows, weight):
        product: Tensor = _ONEDNN(rows, weight.t(), bias, "none", [], "")
    else:
        product = torch.addmm(bias, rows, weight)
    return product.view(*x.shape[:-1], -1)
