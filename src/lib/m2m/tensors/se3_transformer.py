"""SE(3)-Transformers: tensor field messages, weighted by how well what a node asks fits what its neighbours offer.

From features f of several degrees l come queries, keys and values, features of the same kind. A query is made of the
receiver alone, keys and values are messages of a tensor field network, one for each edge:

    q_i = W_q f_i        k_ij = W_k(r_ij) f_j        v_ij = W_v(r_ij) f_j
    alpha_ij = softmax_j(<q_i, k_ij> / sqrt(n))      f'_i = W f_i + sum_j alpha_ij v_ij

Queries and keys turn by the same orthogonal matrices, so their inner product, a sum over degrees, channels and the n numbers
of a head, does not turn: the weights are invariant, the values equivariant, and so is their sum. With several heads the
channels of each degree are dealt out, and each head has weights of its own.

Source: Fuchs, Worrall, Fischer, Welling, SE(3)-Transformers, https://arxiv.org/abs/2006.10503.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from m2m import arguments
from m2m.tensors import tfn
from m2m.tensors.nonlinear import check_channels, choose
from m2m.tensors.products import Features, Geometry, products


class Radial(tfn.Radial):
    """SiLU(A e(d) + B a + b) C(d): numbers of a distance and of the attributes of an edge, d (E,) and a (E, A) -> (E, hidden).

    Args:
        basis, hidden, cutoff: as in `tfn.Radial`.
        edge_features: A; without any, a is None.
    """

    def __init__(self, basis: nn.Module, hidden: int, cutoff: float | None = None, edge_features: int = 0):
        super().__init__(basis, hidden, cutoff)
        self.attributes = nn.Linear(edge_features, hidden, bias=False) if edge_features else None

    def forward(self, d: Tensor, a: Tensor | None = None) -> Tensor:
        size, got = self.attributes.in_features if self.attributes else 0, 0 if a is None else a.shape[-1]
        if size != got or (a is not None and a.shape[:-1] != d.shape):
            found = None if a is None else tuple(a.shape)
            raise ValueError(f"a: got {found}, expected {(*d.shape, size) if size else None}, the features of each edge")
        h = self.linear(self.basis(d))
        return self.bent(h if a is None else h + self.attributes(a), d)


class Messages(tfn.Convolution):
    """W(r_ij) f_j for each edge: a tensor field convolution without its sum.

    Args:
        options: of `tfn.Convolution`; kind "full" or "depthwise".
    """

    def __init__(self, channels_in, channels_out, l_filter: int, basis: nn.Module, *, edge_features: int = 0, **options):
        super().__init__(channels_in, channels_out, l_filter, basis, **options)
        self.radial = Radial(basis, self.radial.linear.out_features, self.radial.cutoff, edge_features)

    def forward(self, f: Features, geometry: Geometry, a: Tensor | None = None) -> Features:
        """f {l: (N, C_l, 2 l + 1)}, a (E, A) -> {l: (edges, 2 l + 1, C_l')} in the order of `Geometry.arranged`."""
        self._check(f, geometry)
        h = geometry.arranged(self.radial(geometry.d, a))
        out = {}
        for l, t in products(f, geometry, self.paths).items():
            weights = h @ (self.weights[str(l)] / math.sqrt(self.width[l] * self.neighbours))
            if self.kind == "full":
                out[l] = torch.bmm(t, weights.view(len(t), self.width[l], self.channels_out[l]))
            else:
                out[l] = (t * weights[:, None]) @ self.mix[str(l)]
        return out


class Attention(nn.Module):
    """sum_j alpha_ij v_ij in several heads, without the self-interaction.

    Args:
        channels_in, channels_out: {l: C_l}. Queries and keys have the degrees that are in both, with the channels that go out.
        heads: H, a divisor of all channels that go out.
        attention: without it all neighbours weigh the same, alpha_ij = 1 / |N(i)|: a tensor field layer.
        l_filter, basis, edge_features, options: of `Messages`. Keys and values share the radial functions of a path where the
            kind is "depthwise"; each has matrices of its own.

    Raises:
        ValueError: heads that do not divide the channels; no degree that queries and keys could have.
    """

    def __init__(
        self,
        channels_in: Mapping[int, int],
        channels_out: Mapping[int, int],
        l_filter: int,
        basis: nn.Module,
        *,
        heads: int = 1,
        attention: bool = True,
        edge_features: int = 0,
        **options,
    ):
        super().__init__()
        self.values = check_heads(channels_out, heads)
        self.heads, keys = heads, {l: c for l, c in self.values.items() if l in channels_in}
        if attention and not keys:
            raise ValueError(
                f"channels_out: got degrees {list(self.values)}, expected one of channels_in for queries and keys"
            )
        self.keys = keys if attention else {}
        self.size = sum((2 * l + 1) * c for l, c in self.keys.items()) // heads
        self.query = tfn.SelfInteraction(channels_in, self.keys) if attention else None
        both = {l: c + self.keys.get(l, 0) for l, c in self.values.items()}
        self.messages = Messages(channels_in, both, l_filter, basis, edge_features=edge_features, **options)

    def forward(self, f: Features, geometry: Geometry, a: Tensor | None = None) -> Features:
        """f {l: (N, C_l, 2 l + 1)} and edge features a (E, A) -> {l: (N, C_l', 2 l + 1)}, zeros where there is no neighbour."""
        keys, values = self.split(self.messages(f, geometry, a))
        alpha = self.alpha(f, keys, geometry)
        return {l: geometry.sum(v * (alpha @ self.deal(v).T)[:, None]).mT for l, v in values.items()}

    def split(self, both: Features) -> tuple[Features, Features]:
        """Keys and values, {l: (edges, 2 l + 1, C_l)} each."""
        cut = {l: message.split([self.keys.get(l, 0), self.values[l]], -1) for l, message in both.items()}
        return {l: cut[l][0] for l in self.keys}, {l: part[1] for l, part in cut.items()}

    def alpha(self, f: Features, keys: Features, geometry: Geometry) -> Tensor:
        """The weights alpha_ij of each head, (edges, H) in the order of `Geometry.arranged`."""
        if self.query is None:
            return geometry.softmax(geometry.d.new_zeros(len(geometry.arranged(geometry.d)), self.heads))
        logits = 0.0
        for l, q in self.query(f).items():
            fits = (geometry.at_receivers(q.mT) * keys[l]).sum(1)
            logits = logits + fits @ self.deal(fits)
        return geometry.softmax(logits / math.sqrt(self.size))

    def deal(self, values: Tensor) -> Tensor:
        """The head of each channel of values (..., C), as a matrix of zeros and ones (C, H)."""
        return torch.eye(self.heads, dtype=values.dtype, device=values.device).repeat_interleave(
            values.shape[-1] // self.heads, 0
        )

    @torch.no_grad()
    def look(self, f: Features, geometry: Geometry, a: Tensor | None = None) -> Tensor:
        """The weights alpha_ij, to be looked at: (E, H) in the order of edge_index."""
        return geometry.back(self.alpha(f, self.split(self.messages(f, geometry, a))[0], geometry))


class AttentiveSelfInteraction(nn.Module):
    """f'_i = W(f_i) f_i for each degree, where the matrix over channels is a network of the inner products of the channels.

    Inner products of arrows are invariant, so that W is, too. Source: the paper's section 3.3. The inner products are
    brought within -1 and 1 by s / (1 + |s|), where the authors normalise them.

    Args:
        channels_in, channels_out: {l: C_l}, the degrees that go out among those that come in.
        hidden: width of the network.
    """

    def __init__(self, channels_in: Mapping[int, int], channels_out: Mapping[int, int], hidden: int = 16):
        super().__init__()
        self.linear = tfn.SelfInteraction(channels_in, channels_out)  # checks the channels; W(f) is its matrix plus a change
        self.change = nn.ModuleDict()
        for l, c in self.linear.channels_out.items():
            c_in = self.linear.channels_in[l]
            self.change[str(l)] = nn.Sequential(nn.Linear(c_in * c_in, hidden), nn.SiLU(), nn.Linear(hidden, c * c_in))

    def forward(self, f: Features) -> Features:
        """{l: (N, C_l, 2 l + 1)} of the channels that come in -> the same of the channels that go out."""
        out = self.linear(f)
        for l in out:
            inner = functional.softsign(f[l] @ f[l].mT / (2 * l + 1))
            w = self.change[str(l)](inner.flatten(1)).unflatten(1, (out[l].shape[1], -1)) / math.sqrt(f[l].shape[1])
            out[l] = out[l] + w @ f[l]
        return out


class Layer(nn.Module):
    """Attention over the neighbours, plus self-interaction of what was there, then a non-linearity.

    Args:
        self_interaction: "linear" or "attentive".
        nonlinearity: "gate", "norm" or None.
        residual: add what came in to degrees whose channels stay as they are.
        options: of `Attention`.
    """

    def __init__(
        self,
        channels_in: Mapping[int, int],
        channels_out: Mapping[int, int],
        l_filter: int,
        basis: nn.Module,
        *,
        self_interaction: str = "linear",
        nonlinearity: str | None = "gate",
        residual: bool = True,
        **options,
    ):
        super().__init__()
        kinds = {"linear": tfn.SelfInteraction, "attentive": AttentiveSelfInteraction}
        if self_interaction not in kinds:
            raise ValueError(f"self_interaction: got {self_interaction!r}, expected 'linear' or 'attentive'")
        self.nonlinear, wanted = choose(nonlinearity, channels_out)
        self.attention = Attention(channels_in, wanted, l_filter, basis, **options)
        kept = {l: c for l, c in wanted.items() if l in channels_in}
        self.itself = kinds[self_interaction](channels_in, kept) if kept else None
        self.residual = [l for l, c in channels_out.items() if residual and channels_in.get(l) == c]

    def forward(self, f: Features, geometry: Geometry, a: Tensor | None = None) -> Features:
        """{l: (N, C_l, 2 l + 1)} -> the same of the channels that go out."""
        out = self.attention(f, geometry, a)
        if self.itself is not None:
            out |= {l: out[l] + value for l, value in self.itself(f).items()}
        out = out if self.nonlinear is None else self.nonlinear(out)
        return out | {l: out[l] + f[l] for l in self.residual}


class SE3Transformer(nn.Module):
    """Layers of attention between two matrices on the channels of each degree, one to begin with and one to end with.

    The first spreads few channels over many: a message has radial functions for each channel that comes in.

    Args:
        channels_in: {l: C_l} of the input.
        channels: {l: C_l} between the layers, all divisible by `heads`.
        channels_out: {l: C_l} of the output; its degrees are among those of `channels`.
        l_filter: highest degree of the harmonics.
        basis: e_k(d), a module with `size` such as `radial.Gaussians`.
        edge_features: A, how many numbers each edge carries.
        options: of `Layer`, `Attention` and `Messages`: self_interaction, nonlinearity, attention, hidden, cutoff, kind, paths.

    Raises:
        ValueError: heads that do not divide channels, degrees to which nothing leads.
    """

    def __init__(
        self,
        channels_in: Mapping[int, int],
        channels: Mapping[int, int],
        channels_out: Mapping[int, int],
        *,
        layers: int = 4,
        heads: int = 4,
        l_filter: int = 2,
        basis: nn.Module,
        edge_features: int = 0,
        kind: str = "depthwise",
        **options,
    ):
        super().__init__()
        check_heads(channels, heads)
        arguments.whole(layers=layers)
        options |= {"heads": heads, "edge_features": edge_features, "kind": kind}
        spread = {l: channels.get(l, c) for l, c in channels_in.items()}
        self.embed = tfn.SelfInteraction(channels_in, spread)
        widths = [spread, *[channels] * layers]
        self.layers = nn.ModuleList(Layer(*pair, l_filter, basis, **options) for pair in zip(widths, widths[1:], strict=False))
        self.read = tfn.SelfInteraction(channels, channels_out)

    def forward(self, f: Features, geometry: Geometry, a: Tensor | None = None) -> Features:
        """f {l: (N, C_l, 2 l + 1)}, the geometry of the edges, a (E, A) -> {l: (N, C_l, 2 l + 1)}.

        Raises:
            ValueError: features, geometry or edge features that do not fit.
        """
        f = self.embed(f)
        for layer in self.layers:
            f = layer(f, geometry, a)
        return self.read(f)


def check_heads(channels: Mapping[int, int], heads: int) -> dict[int, int]:
    """The channels, sorted by degree; a ValueError unless `heads` divides each."""
    channels = check_channels("channels", channels)
    if isinstance(heads, bool) or not isinstance(heads, int) or heads < 1 or any(c % heads for c in channels.values()):
        raise ValueError(f"heads: got {heads!r} for channels {channels}, expected a divisor of each number of channels")
    return channels
