"""The LSTM of torch; on a CPU it reads packed sentences, which training gives it, in much less time.

There torch multiplies small matrices for each token, back and forth. Here all that does not wait for the
token before is one large product over the whole batch: what the inputs add to the gates and, on the way back,
the gradients of weights and inputs (Appleyard et al. 2016, arXiv:1604.01946, section 2). For each
token there is one product with the recurrent weights, and a few operations on vectors.

Shapes: n sentences of S tokens together, H a hidden state, I an input. Packed sentences stand as torch packs
them: the first tokens of all, the longest sentence's first, then the second tokens of those that have one.
"""

from __future__ import annotations

from itertools import accumulate
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence


class Lstm(nn.LSTM):
    """``nn.LSTM``, its weights and all."""

    def forward(self, x: Any, hx: Any = None) -> Any:
        """As torch's."""
        if not (isinstance(x, PackedSequence) and hx is not None and x.data.device.type == "cpu"):
            return super().forward(x, hx)
        sizes = x.batch_sizes.tolist()
        order, back = x.sorted_indices, x.unsorted_indices
        # The row at which each sentence ends, the longest one first.
        starts = [0, *accumulate(sizes)]
        ends = [starts[sum(size > row for size in sizes) - 1] + row for row in range(sizes[0])]
        number = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else x.data.dtype
        tops, hiddens, cells = x.data, [], []
        for layer in range(self.num_layers):
            if layer:
                tops = nn.functional.dropout(tops, self.dropout, self.training)
            weights = [getattr(self, f"{name}_l{layer}") for name in self._names]
            start = [part[layer] if order is None else part[layer][order] for part in hx]
            tops, held = _Layer.apply(tops.to(number), *start, sizes, *weights)
            hiddens.append(tops[ends] if back is None else tops[ends][back])
            cells.append(held[ends] if back is None else held[ends][back])
        return x._replace(data=tops), (torch.stack(hiddens), torch.stack(cells))

    _names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")


class _Layer(torch.autograd.Function):
    """One layer over packed sentences. Products are of the numbers of ``x``, all else is of those of the
    weights.
    """

    @staticmethod
    def forward(  # noqa: PLR0917 - what torch passes on
        ctx: Any,
        x: Tensor,
        hidden: Tensor,
        cell: Tensor,
        sizes: list[int],
        from_x: Tensor,
        from_h: Tensor,
        *biases: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """``x`` (S, I) and the state before it, (n, H) twice, to the hidden states and the cells behind each
        token, (S, H) twice. ``sizes``: how many sentences have a first token, a second one and so on. The
        weights as torch keeps them: (4H, I), (4H, H), (4H,) twice.
        """
        rows, width = sizes[0], hidden.shape[1]
        w_x, w_h = from_x.to(x.dtype), from_h.to(x.dtype)
        bias = biases[0] + biases[1]
        sums = x @ w_x.t()
        gates = torch.empty_like(sums, dtype=from_h.dtype)
        # The state before the first token stands above those behind the tokens.
        hiddens = x.new_empty(rows + len(x), width)
        cells = from_h.new_empty(rows + len(x), width)
        hiddens[:rows], cells[:rows] = hidden, cell
        turned = w_h.t()
        before, start = 0, 0
        for size in sizes:
            own = slice(start, start + size)
            after = slice(rows + start, rows + start + size)
            summed = torch.addmm(sums[own], hiddens[before : before + size], turned, out=sums[own])
            gate = gates[own].copy_(summed).add_(bias)
            entering, kept, candidate, shown = torch.split(gate, width, 1)
            gate[:, : 2 * width].sigmoid_()
            candidate.tanh_()
            shown.sigmoid_()
            held = torch.mul(cells[before : before + size], kept, out=cells[after])
            hiddens[after] = held.addcmul_(entering, candidate).tanh().mul_(shown)
            before, start = rows + start, start + size
        ctx.sizes = sizes
        ctx.save_for_backward(x, hiddens, cells, gates, w_x, w_h)
        ctx.set_materialize_grads(False)
        return hiddens[rows:], cells[rows:]

    @staticmethod
    def backward(ctx: Any, of_hiddens: Tensor | None, of_cells: Tensor | None) -> tuple[Tensor | None, ...]:
        """The gradients of what :meth:`forward` takes."""
        x, hiddens, cells, gates, w_x, w_h = ctx.saved_tensors
        sizes: list[int] = ctx.sizes
        rows, width = sizes[0], hiddens.shape[1]
        # Where the state before each token stands.
        starts = [0, *(rows + start for start in accumulate(sizes[:-1], initial=0))][: len(sizes)]
        former = torch.cat(
            [torch.arange(start, start + size) for start, size in zip(starts, sizes, strict=True)]
        )
        entering, kept, candidate, shown = torch.split(gates, width, 1)
        # How much each gate's sum moves the cell, and the hidden state: for all tokens at once.
        bent = cells[rows:].tanh()
        by_cell = cells.new_empty(len(x), 3, width)
        torch.mul(candidate * entering, 1 - entering, out=by_cell[:, 0])
        torch.mul(cells[former].mul_(kept), 1 - kept, out=by_cell[:, 1])
        torch.mul(entering, 1 - candidate.square(), out=by_cell[:, 2])
        by_hidden = (1 - shown).mul_(shown).mul_(bent)
        through = (1 - bent.square_()).mul_(shown)
        moved = x.new_empty(len(x), 4 * width)  # the gradients of the gates' sums
        d_hidden, d_cell = torch.zeros_like(cells[:rows]), torch.zeros_like(cells[:rows])
        exact = cells.new_empty(rows, 4, width)
        end = len(x)
        for size in reversed(sizes):
            own = slice(end - size, end)
            of_h, of_c, part = d_hidden[:size], d_cell[:size], exact[:size]
            if of_hiddens is not None:
                of_h += of_hiddens[own]
            if of_cells is not None:
                of_c += of_cells[own]
            of_c.addcmul_(of_h, through[own])
            torch.mul(by_cell[own], of_c[:, None], out=part[:, :3])
            torch.mul(by_hidden[own], of_h, out=part[:, 3])
            moved[own] = part.flatten(1)
            of_h.copy_(moved[own] @ w_h)
            of_c.mul_(kept[own])
            end -= size
        d_x = moved @ w_x if ctx.needs_input_grad[0] else None
        d_bias = moved.sum(0, dtype=cells.dtype)
        # The narrower matrix is the one to turn.
        d_from_x, d_from_h = ((seen.t() @ moved).t().to(cells.dtype) for seen in (x, hiddens[former]))
        return d_x, d_hidden, d_cell, None, d_from_x, d_from_h, d_bias, d_bias
