"""How Plotly figures look in this book and how they reach its pages, with a network or without. Imported by `plotting`."""

from __future__ import annotations

import hashlib
import json
import math

import plotly.graph_objects as go
import plotly.io
from plotly.io.base_renderers import MimetypeRenderer
from plotly.offline import get_plotlyjs_version

from m2m import runtime

# Okabe & Ito's palette for colour-blind readers, without its yellow (too pale for lines on white)
PALETTE = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#4D4D4D"]

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
    const {{title, legend, margin}} = figure.layout;
    if (title && document.getElementById("{id}").clientWidth < 500) {{  // on a phone a title needs two lines, a legend too
      title.text = title.text.replace(/(.{{30,45}})\\s+/g, "$1<br>");
      Object.assign(title, {{font: {{size: 12}}, y: 1, yanchor: "top", pad: {{t: 12}}}});
      figure.layout.margin = {{...margin, t: legend && legend.y >= 1 ? 105 : 55}};
      for (const note of figure.layout.annotations || []) note.font = {{...note.font, size: 10}};
      for (const scene of Object.values(figure.layout))  // scenes beside each other are narrow: step back
        if (scene && scene.camera && scene.camera.eye && scene.domain && scene.domain.x[1] - scene.domain.x[0] < 0.9)
          for (const axis of "xyz") scene.camera.eye[axis] *= 1.6;
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
