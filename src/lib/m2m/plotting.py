"""Pictures: one style for the book, the few plots that chapters share, and figures that turn.

Still pictures are matplotlib, figures to turn or slide are Plotly; `show` shows either. Both have an opaque light
background, so they are legible on a light and on a dark page, and titles that say the finding serve as alternative text.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
from collections.abc import Callable, Mapping, Sequence

import matplotlib.pyplot as plt
import numpy
import PIL.Image
import plotly.graph_objects as go
import plotly.io
import torch
from IPython.display import Image, display
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from plotly.io.base_renderers import MimetypeRenderer
from plotly.offline import get_plotlyjs_version
from torch import Tensor

from m2m import runtime

# Okabe & Ito's palette for colour-blind readers, without its yellow (too pale for lines on white)
PALETTE = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#4D4D4D"]
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


def slider(frames: Mapping[str, Sequence], *, name: str, title: str, start: int = 0, height: int = 460, **layout) -> go.Figure:
    """A figure with a slider through frames.

    Args:
        frames: label on the slider -> the traces of that frame; the same kinds of traces, in the same order, in all.
        name: what the slider changes, shown before its value.
    """
    if not frames or len({len(traces) for traces in frames.values()}) != 1:
        counts = {label: len(traces) for label, traces in frames.items()}
        raise ValueError(f"frames: got {counts} traces, expected the same number in each of one or more frames")
    frames = {str(label): list(traces) for label, traces in frames.items()}
    labels = list(frames)
    result = figure(frames[labels[start]], title=title, height=height, **layout)
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
    return result


def clouds(
    points: Mapping[str, Tensor],
    *,
    bonds: Sequence[tuple[int, int]] = (),
    title: str = "",
    size: float = 5,
    height: int = 380,
) -> go.Figure:
    """Named point clouds (N, 3) side by side in 3-D, to turn; `bonds` are pairs of points joined in each cloud."""
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


# --- How Plotly figures reach the page ------------------------------------------------------------------------------------

_TEMPLATE = go.layout.Template(layout={
    "colorway": PALETTE, "paper_bgcolor": "white", "plot_bgcolor": "white", "margin": {"l": 50, "r": 20, "t": 50, "b": 50},
    "font": {"family": "system-ui, sans-serif", "size": 13, "color": "#222222"}, "title": {"x": 0.02, "font": {"size": 15}},
    "xaxis": {"gridcolor": "#e5e5e5", "zerolinecolor": "#cccccc"}, "yaxis": {"gridcolor": "#e5e5e5", "zerolinecolor": "#cccccc"},
    "colorscale": {"sequential": "Blues"}, "legend": {"orientation": "h", "y": -0.15},
})  # fmt: skip

# The page has plotly.js itself, so nothing is requested there. A stored output in Colab has not, and fetches it.
_HTML = """<div id="{id}" class="plotly-figure" role="img" aria-label="{alt}" style="height:{height}px"></div>
<script>(() => {{
  const figure = {json};
  const draw = () => {{
    const title = figure.layout.title;  // on a phone a title needs two lines
    if (title && document.getElementById("{id}").clientWidth < 500) {{
      title.text = title.text.replace(/(.{{30,45}})\\s+/g, "$1<br>");
      title.font = {{size: 12}};
    }}
    Plotly.newPlot("{id}", {{...figure, config: {{responsive: true, displaylogo: false}}}});
  }};
  const start = () => {{
    if (window.Plotly) return draw();
    const script = document.createElement("script");
    script.src = "https://cdn.plot.ly/plotly-{version}.min.js";
    script.onload = draw;
    document.head.append(script);
  }};
  document.readyState === "loading" ? document.addEventListener("DOMContentLoaded", start) : start();
}})();</script>"""


def _rounded(value):
    """Numbers to four digits, all that a picture shows; stored outputs are half the size."""
    if isinstance(value, float):
        return float(f"{value:.4g}") if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(item) for item in value]
    return value


class BookRenderer(MimetypeRenderer):
    """Emits a figure once for Jupyter (as data) and once for the page (as HTML that expects plotly.js to be there)."""

    def to_mimebundle(self, fig_dict: dict) -> dict:
        # Through Plotly's own JSON, which turns arrays into lists
        fig_dict = _rounded(json.loads(plotly.io.to_json(fig_dict, validate=False)))
        layout = fig_dict["layout"]
        title = layout.get("title", {}).get("text", "")
        alt = (layout.get("meta") or {}).get("alt", title)
        text = json.dumps(fig_dict, separators=(",", ":"))
        html = _HTML.format(
            id=f"figure-{hashlib.sha1(text.encode()).hexdigest()[:12]}",  # from the content, so a second run gives the same
            alt=alt.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;"),
            height=layout.get("height", 450),
            json=text.replace("<", "\\u003c"),  # no text of the figure can end the script
            version=get_plotlyjs_version(),
        )
        return {"application/vnd.plotly.v1+json": fig_dict, "text/html": html}


plotly.io.templates["m2m"] = _TEMPLATE
plotly.io.templates.default = "m2m"
if not runtime.in_colab():
    plotly.io.renderers["m2m"] = BookRenderer()
    plotly.io.renderers.default = "m2m"
