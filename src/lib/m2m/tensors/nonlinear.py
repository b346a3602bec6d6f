"""Non-linearities that a rotation passes through: numbers may be bent, arrows only made longer or shorter.

Both take features {l: (N, C_l, 2 l + 1)}, scale each arrow by a number that rotations leave alone, and have finite gradients
everywhere, where an arrow is zero too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from m2m.messages.schnet import ShiftedSoftplus
from m2m.tensors import irreps


class NormNonlinearity(nn.Module):
    """f' = eta(|f| + b) f, and eta(f + b) for degree 0, with a bias b for each channel.

    Args:
        channels: {l: C_l}.
        activation: eta; that of the paper is the default.

    Source: Tensor field networks, https://arxiv.org/abs/1802.08219, section 4.3.
    """

    def __init__(self, channels: Mapping[int, int], activation: Callable[[Tensor], Tensor] | None = None):
        super().__init__()
        self.channels_in = self.channels_out = check_channels("channels", channels)
        self.activation = activation or ShiftedSoftplus()
        self.bias = nn.ParameterDict({str(l): nn.Parameter(torch.zeros(c, 1)) for l, c in self.channels_out.items()})

    def forward(self, f: dict[int, Tensor]) -> dict[int, Tensor]:
        irreps.check(f, self.channels_in)
        out = {}
        for l, value in f.items():
            number = value if l == 0 else irreps.norm(value)[..., None]
            factor = self.activation(number + self.bias[str(l)])
            out[l] = factor if l == 0 else factor * value
        return out


class Gate(nn.Module):
    """Degree 0 goes through SiLU; each channel of higher degree is multiplied by the sigmoid of a number of its own.

    The numbers come from extra channels of degree 0, so more must come in than go out: `channels_in`.

    Args:
        channels: {l: C_l} that go out.

    Source: 3D steerable CNNs, https://arxiv.org/abs/1807.02547, section 4.2.
    """

    def __init__(self, channels: Mapping[int, int]):
        super().__init__()
        self.channels_out = check_channels("channels", channels)
        self.gated = {l: c for l, c in self.channels_out.items() if l}
        self.channels_in = {0: sum(self.channels_out.values())} | self.gated

    def forward(self, f: dict[int, Tensor]) -> dict[int, Tensor]:
        irreps.check(f, self.channels_in)
        plain, *gates = f[0].split([self.channels_out.get(0, 0), *self.gated.values()], 1)
        out = {0: functional.silu(plain)} if 0 in self.channels_out else {}
        return out | {l: gate.sigmoid() * f[l] for l, gate in zip(self.gated, gates, strict=True)}


def choose(kind: str | None, channels_out: Mapping[int, int]) -> tuple[nn.Module | None, dict[int, int]]:
    """The non-linearity "gate", "norm" or None after a layer, and the channels {l: C_l} that it needs for `channels_out`."""
    if kind not in ("gate", "norm", None):
        raise ValueError(f"nonlinearity: got {kind!r}, expected 'gate', 'norm' or None")
    if kind is None:
        return None, check_channels("channels_out", channels_out)
    made = Gate(channels_out) if kind == "gate" else NormNonlinearity(channels_out)
    return made, made.channels_in


def check_channels(name: str, channels: Mapping[int, int]) -> dict[int, int]:
    """{l: C_l} sorted by degree; a ValueError unless degrees are whole numbers from 0 on and each C_l is 1 or more."""
    whole = lambda number: isinstance(number, int) and not isinstance(number, bool)
    if not channels or not all(whole(l) and whole(c) and l >= 0 and c > 0 for l, c in channels.items()):
        raise ValueError(f"{name}: got {channels}, expected {{degree: number of channels}} such as {{0: 16, 1: 8}}")
    return dict(sorted(channels.items()))
