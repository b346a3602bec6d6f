"""MADE: a network whose i-th output sees only the inputs before i (Germain et al. 2015, arXiv:1502.03509)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional


def hidden_degrees(dim: int, units: int, context: bool = False) -> Tensor:
    """How many inputs each hidden unit may see, ascending and evenly spread over 1 .. dim - 1; (units,).

    With a context they start at 0: those units see the context alone, and the first dimension has nothing else to read.

    The rule is TensorFlow Probability's "equal". Ascending order makes every mask a staircase, which `MADE.scan` uses.
    """
    if context:
        from_one = hidden_degrees(dim + 1, units)
        return from_one - from_one[0]
    k = torch.arange(1, units + 1, dtype=torch.float64)
    return torch.ceil(k * (dim - 1) / (units + 1)).long()


def masks(dim: int, hidden: Sequence[int], outputs: int = 1, context: bool = False) -> list[Tensor]:
    """The 0/1 masks of a MADE, one per layer, each (units out, units in).

    A unit of degree m sees inputs 1 .. m. So a hidden unit may read units of its own degree or less, and the outputs for
    dimension i only units of a degree strictly below i.
    """
    inputs = torch.arange(1, dim + 1)
    degrees = [inputs, *(hidden_degrees(dim, units, context) for units in hidden)]
    between = [after[:, None] >= before[None, :] for before, after in pairwise(degrees)]
    last = inputs.repeat_interleave(outputs)[:, None] > degrees[-1][None, :]
    return [mask.float() for mask in [*between, last]]


class MaskedLinear(nn.Linear):
    """A linear layer with some weights held at zero: y = (W * mask) x + b."""

    def __init__(self, mask: Tensor):
        super().__init__(mask.shape[1], mask.shape[0])
        self.register_buffer("mask", mask)
        self.full = bool(mask.all())  # as between hidden layers at D = 2, where all units see the one input

    def masked_weight(self) -> Tensor:
        return self.weight if self.full else self.weight * self.mask

    def forward(self, x: Tensor) -> Tensor:
        return functional.linear(x, self.masked_weight(), self.bias)


class MADE(nn.Module):
    """Parameters of D conditionals in one pass: x (..., D) -> (..., D, outputs); row i depends on x_1 .. x_(i-1) only.

    Args:
        dim: D.
        hidden: units of each hidden layer.
        outputs: numbers per dimension (2 for a shift and a log-scale).
        context: size of an optional vector c that every output may see; `forward` then takes c (..., context).
        activation: between the layers, element by element.

    >>> MADE(dim=3, hidden=[16])(torch.zeros(5, 3)).shape
    torch.Size([5, 3, 2])
    """

    def __init__(
        self,
        dim: int,
        hidden: Sequence[int] = (128, 128),
        outputs: int = 2,
        context: int = 0,
        activation: Callable[[Tensor], Tensor] = torch.relu,
    ):
        super().__init__()
        if dim < 1 or outputs < 1 or not hidden or min(hidden) < 1:
            raise ValueError(f"MADE: got dim={dim}, hidden={list(hidden)}, outputs={outputs}; expected positive sizes")
        self.dim, self.outputs, self.activation = dim, outputs, activation
        self.layers = nn.ModuleList(MaskedLinear(mask) for mask in masks(dim, hidden, outputs, context > 0))
        self.context = nn.Linear(context, hidden[0], bias=False) if context else None
        # For `scan`: units of hidden layer l that see at most i inputs are the first self.ends[l][i].
        degrees = [hidden_degrees(dim, units, context > 0) for units in hidden]
        self.ends = [torch.searchsorted(d, torch.arange(dim), right=True).tolist() for d in degrees]

    def zero_last(self) -> MADE:
        """Start with all outputs zero, so that a flow begins as the identity."""
        nn.init.zeros_(self.layers[-1].weight)
        nn.init.zeros_(self.layers[-1].bias)
        return self

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        self._check(x, context, "x")
        first, *between, last = self.layers
        h = first(x) if self.context is None else first(x) + self.context(context)
        for layer in between:
            h = layer(self.activation(h))
        return last(self.activation(h)).unflatten(-1, (self.dim, self.outputs))

    def scan(self, z: Tensor, step: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]], context: Tensor | None = None):
        """Solve x_i = step(z_i, row i of self(x)) for i = 1 .. D at about the cost of one pass, not D.

        Units are sorted by degree, so once x_i is known, exactly the next slice of every hidden layer can be computed, and
        each unit is computed once. (Run as written, `forward` would be called D times.)

        Args:
            z: (B, D).
            context: (B, context), if the network has one.
            step: (z_i, (B, outputs)) -> x_i, log|dx_i/dz_i|, each (B,).

        Returns:
            x (B, D) and the sum of the log-derivatives (B,).
        """
        self._check(z, context, "z")
        weights = [layer.masked_weight() for layer in self.layers]
        biases = [layer.bias[:, None] for layer in self.layers]
        offset = 0 if self.context is None else self.context(context).T
        # Inputs, then each hidden layer, as (units, B): the units known so far are then one block of memory.
        # With gradients these grow by concatenation; without, they are allocated once and filled.
        sizes = [0 if torch.is_grad_enabled() else weight.shape[1] for weight in weights]
        known = [z.new_empty(size, len(z)) for size in sizes]
        log_det = torch.zeros_like(z[:, 0])
        for i in range(self.dim):
            visible = i
            for layer, ends in enumerate(self.ends):
                start, end = ends[i - 1] if i else 0, ends[i]
                h = torch.addmm(biases[layer][start:end], weights[layer][start:end, :visible], known[layer][:visible])
                if layer == 0 and self.context is not None:
                    h = h + offset[start:end]
                known[layer + 1] = _with(known[layer + 1], start, self.activation(h))
                visible = end
            rows = slice(i * self.outputs, (i + 1) * self.outputs)
            params = torch.addmm(biases[-1][rows], weights[-1][rows, :visible], known[-1][:visible])
            x, log_slope = step(z[:, i], params.T)
            known[0] = _with(known[0], i, x[None])
            log_det = log_det + log_slope
        return known[0].T, log_det

    def _check(self, x: Tensor, context: Tensor | None, name: str) -> None:
        if x.shape[-1:] != (self.dim,):
            raise ValueError(f"{name}: got shape {tuple(x.shape)}, expected (..., {self.dim})")
        size = 0 if self.context is None else self.context.in_features
        # A context that nothing reads would be dropped without a word
        if (0 if context is None else context.shape[-1]) != size:
            got = "none" if context is None else f"shape {tuple(context.shape)}"
            raise ValueError(f"context: got {got}, expected {f'(..., {size})' if size else 'none'}")


def _with(known: Tensor, start: int, values: Tensor) -> Tensor:
    """The rows known with new ones from `start` on: joined where there are gradients, else written into their place."""
    if torch.is_grad_enabled():
        return torch.cat([known, values])
    known[start : start + len(values)] = values
    return known
