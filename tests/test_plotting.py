"""Pictures: what is drawn where, and what a Plotly figure becomes on the page."""

import html.parser
import importlib
import json
import math
import re
import sys

import matplotlib.colors
import matplotlib.pyplot as plt
import numpy
import plotly.io
import pytest
import torch

from m2m import plotting, rendering


@pytest.fixture
def axes():
    figure, axes = plt.subplots()
    yield axes
    plt.close(figure)


def top_right(x):
    """A density that sits at (1, 0.8)."""
    return -((x - torch.tensor([1.0, 0.8])) ** 2).sum(-1) / 0.02


# Density maps


def test_density_is_drawn_with_its_first_row_lowest(axes):
    p = plotting.density(axes, top_right, extent=(-1, 1.5, -1, 1), resolution=50)
    assert p.shape == (40, 50)
    row, column = numpy.unravel_index(p.argmax(), p.shape)
    # Pixel centres: row 36 is at y = -1 + 36.5 / 20 = 0.825, column 40 at x = -1 + 40.5 / 20 = 1.025
    assert row in (35, 36) and column in (39, 40)
    assert p.max() == pytest.approx(math.exp(top_right(torch.tensor([1.025, 0.825])).item()), rel=1e-4)
    (image,) = axes.images
    assert image.origin == "lower" and tuple(image.get_extent()) == (-1, 1.5, -1, 1)
    assert image.get_clim()[0] == 0
    assert (axes.get_xlim(), axes.get_ylim()) == ((-1, 1.5), (-1, 1)) and axes.get_xlabel() and axes.get_ylabel()


def test_the_picture_itself_is_dark_where_the_density_is_high(axes):
    # The pixels of the canvas, whose first row is the top: an upside-down map would be dark at the bottom
    figure = axes.figure
    plotting.density(axes, top_right, extent=(-1, 1.5, -1, 1), resolution=50)
    axes.set_axis_off()
    axes.set_position([0, 0, 1, 1])
    figure.canvas.draw()
    ink = 255.0 - numpy.asarray(figure.canvas.buffer_rgba())[..., :3].mean(-1)
    rows, columns = numpy.nonzero(ink > 0.8 * ink.max())
    height, width = ink.shape
    to_data = axes.transData.inverted().transform([(columns.mean(), height - rows.mean())])[0]
    assert to_data == pytest.approx([1.0, 0.8], abs=0.05)
    assert rows.max() < height / 2


def test_density_with_samples_that_carry_gradients(axes):
    samples = torch.rand(30, 2).requires_grad_()
    plotting.density(axes, top_right, resolution=20, samples=samples, vmax=2.0, title="Peak at the right", device="cpu")
    (dots,) = axes.collections
    numpy.testing.assert_allclose(dots.get_offsets(), samples.detach(), rtol=1e-6)
    assert axes.get_title() == "Peak at the right" and axes.images[0].get_clim() == (0, 2.0)


def test_density_asks_on_the_device_it_is_given(axes):
    seen = []

    def log_prob(x):
        seen.append(x.device.type)
        return torch.zeros(len(x))

    plotting.density(axes, log_prob, resolution=8, device="meta")
    assert seen == ["meta"]


# Curves


def test_curves_of_one_run_and_of_several(axes):
    x = [1, 10, 100]
    runs = [[1.0, 2.0, 3.0], [3.0, 4.0, 5.0]]
    plotting.curves(axes, x, {"one": [5, 6, 7], "many": runs}, xlabel="steps", ylabel="NLL (nats)", title="Falls", log="x")
    one, many = axes.lines
    assert one.get_ydata().tolist() == [5, 6, 7] and many.get_ydata().tolist() == [2, 3, 4]
    (band,) = axes.collections
    vertices = band.get_paths()[0].vertices
    assert vertices[:, 1].min() == 1 and vertices[:, 1].max() == 5
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "linear")
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["one", "many"]
    assert (axes.get_xlabel(), axes.get_ylabel(), axes.get_title()) == ("steps", "NLL (nats)", "Falls")


def test_a_single_curve_needs_no_legend(axes):
    plotting.curves(axes, [1, 2], {"loss": torch.tensor([1.0, 2.0])}, xlabel="x", ylabel="y", log="xy")
    assert axes.get_legend() is None and (axes.get_xscale(), axes.get_yscale()) == ("log", "log")


# Style


def luminance(colour):
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in matplotlib.colors.to_rgb(colour)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_palette_stays_apart_for_colour_blind_readers_and_from_the_paper():
    # Machado, Oliveira, Fernandes 2009: what protanopes, deuteranopes and tritanopes see of linear RGB
    seen_by = {
        "all": numpy.eye(3),
        "protanopes": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
        "deuteranopes": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
        "tritanopes": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
    }
    closest = lambda colours, matrix: min(
        numpy.abs(matrix @ a - matrix @ b).max() for i, a in enumerate(colours) for b in colours[:i]
    )
    rgb = [numpy.array(matplotlib.colors.to_rgb(colour)) for colour in plotting.PALETTE]
    for reader, matrix in seen_by.items():
        assert closest(rgb, numpy.array(matrix)) > 0.08, reader
    red_and_green = [numpy.array([0.7, 0.4, 0.1]), numpy.array([0.45, 0.5, 0.11])]
    assert closest(red_and_green, numpy.array(seen_by["deuteranopes"])) < 0.08 < closest(red_and_green, numpy.eye(3))
    assert all(1.05 / (luminance(colour) + 0.05) > 2 for colour in plotting.PALETTE)


def test_style_is_opaque_and_right_side_up():
    with plt.rc_context():
        plotting.use_style()
        for key in ("figure.facecolor", "axes.facecolor", "savefig.facecolor"):
            assert matplotlib.colors.to_rgba(plt.rcParams[key]) == (1, 1, 1, 1)
        assert plt.rcParams["image.origin"] == "lower"
        assert plt.rcParams["axes.prop_cycle"].by_key()["color"] == plotting.PALETTE
    template = plotly.io.templates[plotly.io.templates.default].layout
    assert template.paper_bgcolor == template.plot_bgcolor == "white" and list(template.colorway) == plotting.PALETTE


def test_show_says_the_titles_and_closes_the_figure(monkeypatch):
    shown = []
    monkeypatch.setattr(plotting, "display", shown.append)
    figure, axes = plt.subplots(1, 2)
    figure.suptitle("All")
    axes[0].set_title("Left\nside", loc="left")
    axes[1].set_title("Right")
    number = figure.number
    plotting.show(figure)
    assert shown[0].alt == "All. Left side. Right" and shown[0].data.startswith(b"\x89PNG") and number not in plt.get_fignums()
    plotting.show(plt.figure(), alt="Nothing to see")
    assert shown[1].alt == "Nothing to see"


# Figures to turn


def cloud(n=4, seed=0):
    return torch.randn(n, 3, generator=torch.Generator().manual_seed(seed))


def test_clouds_stand_side_by_side_with_their_bonds():
    points = {"left": cloud(), "right": cloud(5, 1).requires_grad_()}
    figure = plotting.clouds(points, bonds=[(0, 1), (2, 3)], title="Two clouds")
    dots = [trace for trace in figure.data if trace.mode == "markers"]
    lines = [trace for trace in figure.data if trace.mode == "lines"]
    for trace, (name, expected) in zip(dots, points.items(), strict=True):
        assert trace.name == name
        numpy.testing.assert_allclose(numpy.stack([trace.x, trace.y, trace.z], 1), expected.detach())
    left = points["left"]
    for d, axis in enumerate("xyz"):
        a, b, gap, c, e, end = getattr(lines[0], axis)
        assert [a, b, c, e] == left[:4, d].tolist() and gap is end is None
    assert [trace.scene for trace in figure.data] == ["scene", "scene", "scene2", "scene2"]
    assert figure.layout.scene.domain.x == (0, 0.5) and figure.layout.scene2.domain.x == (0.5, 1)
    assert figure.layout.scene.aspectmode == "data", "lengths along different axes would not compare"


@pytest.mark.parametrize("count", range(1, 13))
def test_any_number_of_clouds_fits(count):
    figure = plotting.clouds({str(k): cloud() for k in range(count)})
    ends = [figure.layout["scene" if k == 0 else f"scene{k + 1}"].domain.x for k in range(count)]
    assert ends[0][0] == 0 and ends[-1][1] == 1 and all(a[1] == b[0] for a, b in zip(ends, ends[1:], strict=False))


@pytest.mark.parametrize("shape", [(4, 2), (3,), (2, 4, 3)])
def test_clouds_of_another_shape_are_refused(shape):
    message = rf"points: got shape {re.escape(str(shape))} for 'flat', expected \(N, 3\)"
    with pytest.raises(ValueError, match=message):
        plotting.clouds({"solid": cloud(), "flat": torch.zeros(shape)})


def test_an_empty_cloud_is_drawn_empty():
    assert len(plotting.clouds({"none": torch.zeros(0, 3)}).data[0].x) == 0


def frames(labels):
    return {label: [plotting.go.Scatter(x=[0, 1], y=[k, k])] for k, label in enumerate(labels)}


def test_slider_has_a_step_for_each_frame_and_starts_where_told():
    figure = plotting.slider(frames(["0.0", "0.5", "1.0"]), name="t", title="It moves", start=1, width=300)
    (control,) = figure.layout.sliders
    assert [step.label for step in control.steps] == ["0.0", "0.5", "1.0"] == [frame.name for frame in figure.frames]
    assert [step.args[0] for step in control.steps] == [("0.0",), ("0.5",), ("1.0",)]
    assert control.active == 1 and figure.data[0].y == (1, 1) and [frame.data[0].y[0] for frame in figure.frames] == [0, 1, 2]
    assert control.currentvalue.prefix == "t: " and figure.layout.title.text == "It moves" and figure.layout.width == 300


def test_slider_takes_numbers_for_labels():
    # Plotly's animate looks a frame up by its name, which is text
    figure = plotting.slider(frames([0.0, 0.5]), name="t", title="Numbers")
    assert (
        [frame.name for frame in figure.frames]
        == ["0.0", "0.5"]
        == [step.args[0][0] for step in figure.layout.sliders[0].steps]
    )


@pytest.mark.parametrize("wrong", [{}, {"a": [plotting.go.Scatter()], "b": []}])
def test_slider_refuses_frames_that_differ(wrong):
    with pytest.raises(ValueError, match=r"frames: got \{.*\} traces, expected the same number in each"):
        plotting.slider(wrong, name="t", title="Broken")


# How Plotly figures reach the page


class Page(html.parser.HTMLParser):
    """What a browser finds in a piece of HTML: elements with their attributes, and the text of scripts."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.scripts, self.inside = [], [], False
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        self.inside = tag == "script"

    def handle_endtag(self, tag):
        self.inside = False

    def handle_data(self, data):
        if self.inside:
            self.scripts.append(data)


def bundle(figure):
    got = rendering.BookRenderer().to_mimebundle(figure.to_dict())
    return got["application/vnd.plotly.v1+json"], got["text/html"]


def figure_in(page_html):
    """The figure that the script would draw."""
    (script,) = Page(page_html).scripts
    return json.loads(re.search(r"const figure = (.*);\n", script).group(1))


def test_a_figure_is_shown_as_data_and_as_html_without_plotly_inside():
    figure = plotting.clouds({"a": cloud()}, title="A cloud")
    data, page = bundle(figure)
    assert set(rendering.BookRenderer().to_mimebundle(figure.to_dict())) == {"application/vnd.plotly.v1+json", "text/html"}
    assert figure_in(page) == data == json.loads(json.dumps(data))
    assert len(page) < 10_000, "plotly.js is in it"
    ((tag, attributes), (script, source)) = Page(page).elements
    assert tag == "div" and attributes["aria-label"] == "A cloud" and attributes["role"] == "img"
    assert f'Plotly.newPlot("{attributes["id"]}"' in page and "height:380px" in attributes["style"]
    # Nothing is requested where the page has plotly.js: the one address stands in the branch for pages without
    assert script == "script" and not source
    assert page.count("http") == 1 and page.index("if (window.Plotly) return draw();") < page.index("https://cdn.plot.ly/")


def test_the_id_depends_on_the_content_alone():
    make = lambda seed: plotting.clouds({"a": cloud(seed=seed)}, title="A cloud")
    assert bundle(make(0)) == bundle(make(0))
    identity = lambda seed: Page(bundle(make(seed))[1]).elements[0][1]["id"]
    assert identity(0) == identity(0) != identity(1)


def test_numbers_are_rounded_and_those_that_are_none_become_gaps():
    figure = plotting.figure(
        [plotting.go.Scatter(x=[1, 123456789, 3], y=numpy.array([1 / 3, math.nan, 1.23456e-7]))], title="Numbers"
    )
    data, page = bundle(figure)
    assert data["data"][0]["y"] == [0.3333, None, 1.235e-7] and data["data"][0]["x"] == [1, 123456789, 3]
    assert "NaN" not in page and figure.data[0].y[0] == 1 / 3, "the figure itself keeps its digits"


@pytest.mark.parametrize(
    "title",
    [
        '</script><script>alert("x")</script>',
        "<!--<script>",
        "a < b & c > d",
        'say "yes"',
        "{braces} {0}",
        "nats · Å",
        "<b>bold</b>",
        "it's",
    ],
)
def test_any_title_is_harmless(title):
    data, page = bundle(plotting.figure(title=title))
    parsed = Page(page)
    assert [tag for tag, _ in parsed.elements] == ["div", "script"], "the title has become elements"
    assert parsed.elements[0][1]["aria-label"] == title and set(parsed.elements[0][1]) == {
        "id",
        "class",
        "role",
        "aria-label",
        "style",
    }
    assert figure_in(page)["layout"]["title"]["text"] == title == data["layout"]["title"]["text"]
    (script,) = parsed.scripts
    assert "<" not in script.split("const draw")[0]


def test_alternative_text_other_than_the_title(monkeypatch):
    figure = plotting.figure(title="Short")
    monkeypatch.setattr(type(figure), "show", lambda self: None)
    plotting.show(figure, alt='A longer "description"')
    _, page = bundle(figure)
    assert Page(page).elements[0][1]["aria-label"] == 'A longer "description"'


def test_the_books_renderer_is_the_default_but_in_colab(monkeypatch):
    assert plotly.io.renderers.default == "m2m"
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "google.colab", sys)
        patch.setattr(plotly.io.renderers, "default", "colab")
        importlib.reload(plotting)
        assert plotly.io.renderers.default == "colab"
    importlib.reload(plotting)
    assert plotly.io.renderers.default == "m2m"


# Molecules


METHANE = torch.tensor([6, 1, 1, 1, 1]), 0.63 * torch.tensor([[0.0, 0, 0], [1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]])


def test_bonds_are_found_from_distances():
    assert plotting.bonds_of(*METHANE) == [[0, 1], [0, 2], [0, 3], [0, 4]]
    assert plotting.bonds_of(METHANE[0], 2 * METHANE[1]) == []


def test_a_flat_molecule_has_axes_of_equal_length_that_hold_all_of_it():
    x = torch.tensor([[0.0, 0, 0], [4, 0, 0], [0, 1, 0]])
    scene = plotting.molecule({"flat": (torch.tensor([6, 1, 1]), x)}, title="Flat").layout.scene
    ranges = [scene.xaxis.range, scene.yaxis.range, scene.zaxis.range]
    assert scene.aspectmode == "cube" and [high - low for low, high in ranges] == [5.0, 5.0, 5.0]
    assert all(low < column.min() and column.max() < high for (low, high), column in zip(ranges, x.T, strict=True))


def test_a_molecule_is_drawn_with_all_its_atoms_and_bonds():
    drawn = plotting.molecule({"methane": METHANE, "again": METHANE}, title="Methane")
    bonds, atoms = drawn.data[:2]
    assert list(zip(atoms.x, atoms.y, atoms.z)) == [tuple(row) for row in METHANE[1].tolist()]
    assert list(atoms.text) == ["C 0", "H 1", "H 2", "H 3", "H 4"] and len(bonds.x) == 3 * 4
    assert [trace.scene for trace in drawn.data] == ["scene", "scene", "scene2", "scene2"]


def test_an_element_without_a_colour_and_atoms_without_positions():
    with pytest.raises(ValueError, match=r"z: got the atomic numbers \[92\]"):
        plotting.molecule_traces(torch.tensor([92]), torch.zeros(1, 3))
    with pytest.raises(ValueError, match=r"x: got shape \(2, 3\), expected \(1, 3\)"):
        plotting.molecule_traces(torch.tensor([1]), torch.zeros(2, 3))


def test_a_slider_can_play():
    frames = {str(k): [plotting.go.Scatter(x=[k], y=[k])] for k in range(3)}
    played = plotting.slider(frames, name="time", title="It moves", play=50)
    play, stop = played.layout.updatemenus[0].buttons
    assert play.args[1]["frame"]["duration"] == 50 and list(stop.args[0]) == [None]
    assert not plotting.slider(frames, name="time", title="It waits").layout.updatemenus
