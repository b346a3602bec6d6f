"""Pictures: one style for the book, the few plots that chapters share, and figures that turn.

Still pictures are matplotlib, figures to turn or slide are Plotly; `show` shows either. Both have an opaque light
background, so they are legible on a light and on a dark page, and titles that say the finding serve as alternative text.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence

import matplotlib.pyplot as plt
import numpy
import PIL.Image
import plotly.graph_objects as go
import torch
from IPython.display import Image, display
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from m2m.data import molecules
from m2m.rendering import PALETTE  # importing it registers the renderer

BLUE, ORANGE, GREEN, PINK, AMBER, SKY, GREY = PALETTE
DENSITY_MAP = "Blues"


def use_style() -> None:
    """The book's look for matplotlib; Plotly has it from the import on."""
    plt.rcParams.update({
        "figure.facecolor": "white", "figure.dpi": 100, "figure.figsize": (6.4, 3.8), "figure.constrained_layout.use": True,
        "savefig.facecolor": "white", "axes.facecolor": "white", "axes.prop_cycle": plt.cycler(color=PALETTE),
        "axes.spines.top": False, "axes.spines.right": False, "axes.titlesize": 11, "axes.titlelocation": "left",
        "axes.labelsize": 10, "font.size": 10, "legend.frameon": False, "lines.linewidth": 1.8, "image.origin": "lower",
    })  # fmt: skip


def show(figure: Figure | go.Figure, alt: str | None = None) -> None:
    """Show a figure; `alt` is what a screen reader says, by default the titles.

    A matplotlib figure is closed afterwards.
    """
    if isinstance(figure, go.Figure):
        if alt:
            figure.update_layout(meta={"alt": alt})
        figure.show()
        return
    titles = [figure.get_suptitle(), *(axes.get_title(loc) for axes in figure.axes for loc in ("left", "center"))]
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    plt.close(figure)
    # 256 colours are a third of the size, and look the same
    picture = PIL.Image.open(buffer).convert("RGB").quantize(256, dither=PIL.Image.Dither.NONE)
    picture.save(buffer := io.BytesIO(), "png", optimize=True)
    alt = alt or ". ".join(title.replace("\n", " ") for title in titles if title)
    display(Image(buffer.getvalue(), metadata={"alt": alt} if alt else None))


# --- Still pictures -------------------------------------------------------------------------------------------------------


def density(
    axes: Axes,
    log_prob: Callable[[Tensor], Tensor],
    extent: tuple[float, float, float, float] = (-1.6, 2.6, -1.1, 1.6),
    resolution: int = 160,
    samples: Tensor | None = None,
    vmax: float | None = None,
    title: str | None = None,
    device: torch.device | str = "cpu",
) -> numpy.ndarray:
    """Draw exp(log_prob) of a density in the plane as a map, with samples (n, 2) on top if given.

    Args:
        log_prob: (n, 2) -> (n,) in nats.
        extent: x_min, x_max, y_min, y_max.
        resolution: pixels along x; y has square pixels.
        vmax: density at the dark end of the colours; by default the largest seen.
        device: where `log_prob` wants its points.

    Returns:
        The density at the pixel centres, (rows, columns), first row lowest, as it was drawn.
    """
    left, right, bottom, top = extent
    columns, rows = resolution, round(resolution * (top - bottom) / (right - left))
    centres = lambda low, high, n: low + (high - low) * (torch.arange(n) + 0.5) / n
    y, x = torch.meshgrid(centres(bottom, top, rows), centres(left, right, columns), indexing="ij")
    with torch.no_grad():
        p = log_prob(torch.stack([x, y], -1).reshape(-1, 2).to(device)).exp().reshape(rows, columns).cpu().numpy()
    # Without origin="lower" the map would be upside down under its samples
    axes.imshow(p, extent=extent, origin="lower", cmap=DENSITY_MAP, vmin=0, vmax=vmax)
    if samples is not None:
        axes.scatter(*samples.detach().cpu().T, s=2, c=ORANGE, alpha=0.4, linewidths=0)
    axes.set(xlim=(left, right), ylim=(bottom, top), xlabel="$x_1$", ylabel="$x_2$", title=title)
    return p


def curves(
    axes: Axes,
    x: Sequence[float],
    lines: Mapping[str, Sequence],
    *,
    xlabel: str,
    ylabel: str,
    title: str | None = None,
    log: str = "",
    marker: str | None = None,
) -> None:
    """Draw named curves over x. A curve given as several runs (runs, len(x)) is drawn as its mean in the band they span.

    Args:
        log: which axes are logarithmic: "", "x", "y" or "xy".
    """
    for label, values in lines.items():
        runs = numpy.atleast_2d(numpy.asarray(values, dtype=float))
        (line,) = axes.plot(x, runs.mean(0), label=label, marker=marker)
        if len(runs) > 1:
            axes.fill_between(x, runs.min(0), runs.max(0), color=line.get_color(), alpha=0.2, linewidth=0)
    axes.set(xlabel=xlabel, ylabel=ylabel, title=title)
    axes.set_xscale("log" if "x" in log else "linear")
    axes.set_yscale("log" if "y" in log else "linear")
    if "x" in log and len(x) <= 12:  # such as numbers of layers: name the values there are, not powers of ten
        axes.set_xticks(x, [f"{value:g}" for value in x])
        axes.xaxis.set_minor_locator(plt.NullLocator())
    if len(lines) > 1:
        axes.legend()


# --- Figures to turn ------------------------------------------------------------------------------------------------------


def figure(traces: Sequence = (), *, title: str, height: int = 420, **layout) -> go.Figure:
    """A Plotly figure in the book's style; `layout` is passed on to Plotly."""
    return go.Figure(data=list(traces), layout={"title": {"text": title}, "height": height, **layout})


def slider(
    frames: Mapping[str, Sequence],
    *,
    name: str,
    title: str,
    start: int = 0,
    height: int = 460,
    play: int | None = None,
    **layout,
) -> go.Figure:
    """A figure with a slider through frames.

    Args:
        frames: label on the slider -> the traces of that frame; the same kinds of traces, in the same order, in all.
        name: what the slider changes, shown before its value.
        play: adds buttons that run through the frames, this many milliseconds each, and stop.

    Raises:
        ValueError: no frame, or frames with different numbers of traces.
    """
    if not frames or len({len(traces) for traces in frames.values()}) != 1:
        counts = {label: len(traces) for label, traces in frames.items()}
        raise ValueError(f"frames: got {counts} traces, expected the same number in each of one or more frames")
    frames = {str(label): list(traces) for label, traces in frames.items()}
    labels = list(frames)
    result = figure(frames[labels[start]], title=title, height=height + (60 if play else 0), **layout)
    result.frames = [go.Frame(data=traces, name=label) for label, traces in frames.items()]
    jump = {"mode": "immediate", "frame": {"duration": 0, "redraw": True}, "transition": {"duration": 0}}
    steps = [{"label": label, "method": "animate", "args": [[label], jump]} for label in labels]
    titled = any(key.startswith("xaxis") and ("title" in key or "title" in value) for key, value in layout.items())
    below = 70 if titled else 45  # room for the axis and its title above the slider
    result.update_layout(
        sliders=[{"active": start, "steps": steps, "currentvalue": {"prefix": f"{name}: "}, "pad": {"t": below}, "len": 0.95}],
        legend={"orientation": "h", "x": 1, "xanchor": "right", "y": 1, "yanchor": "bottom"} | layout.get("legend", {}),
        margin={"b": 20},
    )
    if play:
        on = {"mode": "immediate", "fromcurrent": True, "frame": {"duration": play, "redraw": True}, "transition": {"duration": 0}}
        # Below the slider: beside it they would lie over its first steps on a phone
        buttons = [{"label": "Play", "method": "animate", "args": [None, on]},
                   {"label": "Stop", "method": "animate", "args": [[None], jump]}]  # fmt: skip
        place = {"x": 0, "xanchor": "left", "y": 0, "yanchor": "top", "direction": "left", "pad": {"t": below + 80, "r": 10}}
        result.update_layout(updatemenus=[{"type": "buttons", "showactive": False, "buttons": buttons, **place}])
    return result


def clouds(
    points: Mapping[str, Tensor],
    *,
    bonds: Sequence[tuple[int, int]] = (),
    title: str = "",
    size: float = 5,
    height: int = 380,
) -> go.Figure:
    """Named point clouds (N, 3) side by side in 3-D, to turn; `bonds` are pairs of points joined in each cloud.

    Raises:
        ValueError: a cloud that is not (N, 3).
    """
    result = figure(title=title, height=height)
    for k, (name, cloud) in enumerate(points.items()):
        scene = "scene" if k == 0 else f"scene{k + 1}"
        cloud = torch.as_tensor(cloud).detach().cpu()
        if cloud.ndim != 2 or cloud.shape[1] != 3:
            raise ValueError(f"points: got shape {tuple(cloud.shape)} for {name!r}, expected (N, 3)")
        x, y, z = cloud.T.tolist()
        colour = PALETTE[k % len(PALETTE)]
        result.add_scatter3d(x=x, y=y, z=z, mode="markers", name=name, scene=scene, marker={"size": size, "color": colour})
        if bonds:
            ends = [[axis[i], axis[j], None] for axis in (x, y, z) for i, j in bonds]
            n = len(bonds)
            lines = [sum(ends[d * n : (d + 1) * n], []) for d in range(3)]
            result.add_scatter3d(x=lines[0], y=lines[1], z=lines[2], mode="lines", scene=scene, showlegend=False,
                                 hoverinfo="skip", line={"color": colour, "width": 5})  # fmt: skip
        place = [k / len(points), (k + 1) / len(points)]
        result.update_layout({scene: {"domain": {"x": place}, "aspectmode": "data"}})
    return result


# Elements of the molecules in this book: symbol and colour, dark enough on white and apart for colour-blind readers
ELEMENTS = {1: ("H", "#BBBBBB"), 6: ("C", "#4D4D4D"), 7: ("N", "#0072B2"), 8: ("O", "#D55E00"), 9: ("F", "#009E73")}


def bonds_of(z: Tensor, x: Tensor) -> list[tuple[int, int]]:
    """Pairs i < j of atoms that `molecules.bonded` joins, for atomic numbers z (N,) and positions x (N, 3) in angstrom."""
    pairs = torch.triu_indices(len(z), len(z), 1)
    return pairs[:, molecules.bonded(z, x, pairs)].T.tolist()


def molecule_traces(
    z: Tensor, x: Tensor, bonds: Sequence[tuple[int, int]] | None = None, text: Sequence[str] | None = None, scene: str = "scene"
) -> list:
    """A molecule as two Plotly traces, bonds and atoms, for `figure` or for a frame of `slider`.

    Args:
        z: atomic numbers (N,).
        x: positions (N, 3) in A.
        bonds: pairs of atoms; by default those that are close enough.
        text: what is shown when pointing at each atom; by default its element and number.

    Raises:
        ValueError: an unknown element, or not a position for each atom.
    """
    if unknown := set(z.tolist()) - set(ELEMENTS):
        raise ValueError(f"z: got the atomic numbers {sorted(unknown)}, expected some of {sorted(ELEMENTS)}")
    if tuple(x.shape) != (len(z), 3):
        raise ValueError(f"x: got shape {tuple(x.shape)}, expected ({len(z)}, 3), a position for each atom")
    z, x = z.cpu(), x.detach().cpu()
    bonds = bonds_of(z, x) if bonds is None else bonds
    kinds = [ELEMENTS[int(number)] for number in z]
    columns = [column.tolist() for column in x.T]
    lines = [[end for i, j in bonds for end in (column[i], column[j], None)] for column in columns]
    marker = {
        "color": [colour for _, colour in kinds], "size": [8 + 16 * molecules.RADII[int(number)] for number in z],
        "opacity": 1,
        "line": {"color": "#222222", "width": 1},
    }  # fmt: skip
    names = text or [f"{symbol} {i}" for i, (symbol, _) in enumerate(kinds)]
    x_bond, y_bond, z_bond = lines
    x_atom, y_atom, z_atom = columns
    return [
        go.Scatter3d(x=x_bond, y=y_bond, z=z_bond, mode="lines", scene=scene, hoverinfo="skip", showlegend=False,
                     line={"color": "#888888", "width": 6}),
        go.Scatter3d(x=x_atom, y=y_atom, z=z_atom, mode="markers", scene=scene, showlegend=False, marker=marker,
                     text=list(names), hoverinfo="text"),
    ]  # fmt: skip


EMPTY_AXIS = {"showbackground": False, "showgrid": False, "zeroline": False, "showticklabels": False, "title": {"text": ""}}
SCENE = {"aspectmode": "data", "dragmode": "orbit", "camera": {"eye": {"x": 1.1, "y": 1.1, "z": 0.75}},
         "xaxis": EMPTY_AXIS, "yaxis": EMPTY_AXIS, "zaxis": EMPTY_AXIS}  # fmt: skip


def molecule(shown: Mapping[str, tuple[Tensor, Tensor]], *, title: str, height: int = 380) -> go.Figure:
    """Named molecules (z (N,), x (N, 3) in A) side by side in 3-D, to turn; H grey, C dark, N blue, O orange, F green."""
    result = figure(title=title, height=height)
    for k, (name, (z, x)) in enumerate(shown.items()):
        scene = "scene" if k == 0 else f"scene{k + 1}"
        result.add_traces(molecule_traces(z, x, scene=scene))
        place = [k / len(shown), (k + 1) / len(shown)]
        result.update_layout({scene: {**SCENE, **_cube(x), "domain": {"x": place}}})
        result.add_annotation(text=name, x=sum(place) / 2, y=0, xref="paper", yref="paper", showarrow=False, xanchor="center",
                              yanchor="top")  # fmt: skip
    return result


def _cube(x: Tensor) -> dict:
    """Axes of equal length around the points (N, 3): Plotly's own choice enlarges flat molecules until they are cut off."""
    low, high = x.detach().cpu().aminmax(dim=0)
    half = ((high - low).max() / 2 + 0.5).item()
    centres = ((low + high) / 2).tolist()
    axes = {f"{name}axis": {**EMPTY_AXIS, "range": [c - half, c + half]} for name, c in zip("xyz", centres, strict=True)}
    return {"aspectmode": "cube", **axes}
