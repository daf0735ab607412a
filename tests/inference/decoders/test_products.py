"""Products of a few rows: whichever way is taken, the numbers are the same."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from inference.decoders import products
from inference.decoders.products import conv1d, linear


@pytest.mark.parametrize("rows", [1, 2, 5, 64, 65])
@pytest.mark.parametrize("onednn", [True, False])
def test_products_are_their_formulas(rows: int, onednn: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not onednn:
        monkeypatch.setattr(products, "_ONEDNN", None)
    torch.manual_seed(0)
    x, weight, bias = torch.randn(rows, 1, 48), torch.randn(48, 31), torch.randn(31)
    expected = x.double() @ weight.double()
    for grad in (False, True):
        with torch.set_grad_enabled(grad):
            found = conv1d(x, weight, bias), linear(x, weight.t().contiguous())
        torch.testing.assert_close(found[0], (expected + bias).float(), atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(found[1], expected.float(), atol=1e-5, rtol=1e-5)


def test_gradients_and_other_types_go_torchs_way() -> None:
    torch.manual_seed(0)
    x, weight = torch.randn(4, 48), torch.randn(31, 48, requires_grad=True)
    linear(x, weight).sum().backward()
    torch.testing.assert_close(weight.grad, x.sum(0).expand(31, -1))
    for dtype in (torch.float64, torch.bfloat16):
        with torch.no_grad():
            found = linear(x.to(dtype), weight.to(dtype))
            assert found.dtype == dtype
            torch.testing.assert_close(found, functional.linear(x.to(dtype), weight.to(dtype)))
