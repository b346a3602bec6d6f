"""The shape of the library: who may import whom, what stays light, how long, documented, used and written once.

Each rule reads sources, `{module: text}` with "" for `m2m` itself, and returns complaints. Each has a control: a source made
up here that it must refuse.
"""

import ast
import functools
import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
LIBRARY = ROOT / "src" / "lib" / "m2m"
GROUND = ("arguments", "atoms", "runtime")  # may be imported by all, and import nothing of the library
# Room or module: what it may import besides itself and the ground; the longest name that fits counts
ARROWS = {
    "": (), "arguments": (), "atoms": (), "runtime": (), "checkpoints": (),
    "rendering": (),
    "training": ("checkpoints",),
    "plotting": ("rendering", "data.molecules"),
    "checks": ("tensors.rotations",),
    "flows": (),
    "messages": (),
    "tensors": ("messages",),
    "data": ("messages.graph", "tensors.rotations", "tensors.clebsch_gordan"),
    "clouds": ("flows", "messages.graph", "messages.neighbours", "training"),
    "experiments": ("", "checks", "clouds", "data", "flows", "messages", "tensors", "training"),
    "assignments": ("",),
}  # fmt: skip
# Packages that are slow to import or seldom there, and the modules at whose top they may stand
HEAVY = {
    "tensorflow": ("flows.tfp_moons",), "tensorflow_probability": ("flows.tfp_moons",), "tf_keras": ("flows.tfp_moons",),
    "plotly": ("plotting", "rendering"), "matplotlib": ("plotting",), "PIL": ("plotting",), "IPython": ("plotting",),
    "numba": ("clouds.loops", "messages.grid"), "accelerate": ("training",), "h5py": (), "dask": (), "nbgrader": (),
    "pandas": (), "networkx": (), "nbformat": ("assignments.building",), "pooch": ("data.fetch",), "requests": ("data.fetch",),
    "sklearn": ("data.digits", "experiments.made_clouds"), "tqdm": ("flows.tfp_moons",),
}  # fmt: skip
LONGEST = 25  # lines of code of a function, without signature, docstring, comments and empty lines
LONGER = {"training.fit": 45}  # the loop that all models are trained by, to be read from top to bottom
# Public names that nothing here calls: others do
OFFERED = {
    "data.fetch.fetch": "for readers' own data",
    "data.cloud_formats.read_shapenet2048": "a file format that readers bring",
    "messages.lie.se3_exp": "the fourth of the four groups", "messages.lie.se3_log": "the fourth of the four groups",
    "rendering.BookRenderer.to_mimebundle": "called by Plotly",
}  # fmt: skip
SHAPE = re.compile(r"\(\.\.\.\)|\([^()]*,[^()]*\)")


@functools.cache
def sources():
    paths = sorted(LIBRARY.rglob("*.py"))
    name = lambda path: ".".join(path.relative_to(LIBRARY).with_suffix("").parts).removesuffix("__init__").rstrip(".")
    return {name(path): path.read_text(encoding="utf-8") for path in paths}


def users():
    """Everything that may use the library, {path: text}: the library, chapters, assignments, benches, tools, tests."""
    found = {}
    for folder in ("src", "book", "assignments", "bench", "tools", "tests"):
        for path in (*(ROOT / folder).rglob("*.py"), *(ROOT / folder).rglob("*.ipynb")):
            text = path.read_text(encoding="utf-8")
            if path.suffix == ".ipynb":
                text = "\n".join("".join(cell["source"]) for cell in json.loads(text)["cells"])
            found[str(path.relative_to(ROOT))] = text
    return found


# --- Imports --------------------------------------------------------------------------------------------------------------


@functools.cache
def imports(text, top=False):
    """Modules named in import statements; with `top` only those that are executed on import."""
    tree, found = ast.parse(text), []
    nodes = list(ast.walk(tree))
    inside = {id(n) for f in nodes if isinstance(f, ast.FunctionDef | ast.AsyncFunctionDef) for n in ast.walk(f)}
    for node in nodes:
        if not (top and id(node) in inside):
            if isinstance(node, ast.Import):
                found += [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                found += [f"{node.module}.{alias.name}" for alias in node.names]
    return tuple(found)


def of_library(name, modules):
    """The module of the library that an import names, such as "data.moons" for m2m.data.moons.log_prob, or None."""
    if name != "m2m" and not name.startswith("m2m."):
        return None
    parts = name.split(".")[1:]
    return next(m for k in range(len(parts), -1, -1) if (m := ".".join(parts[:k])) in modules)


def within(module, rooms):
    return any(module == room or (room and module.startswith(room + ".")) for room in rooms)


def wrong_arrows(texts):
    wrong = []
    for module, text in texts.items():
        room = max((room for room in ARROWS if within(module, [room])), key=len, default=None)
        if room is None:
            wrong.append(f"{module}: no room of ARROWS")
            continue
        allowed = (*ARROWS[room], *(() if room in GROUND else GROUND))
        used = {of_library(name, texts) for name in imports(text)} - {None, module}
        wrong += [f"{module} imports {other}" for other in sorted(used) if not within(other, (room, *allowed))]
    return wrong


def circles(texts):
    """Modules that need themselves when they are imported; a package is there before its modules."""
    needs = {m: {of_library(n, texts) for n in imports(text, top=True)} - {None, m} for m, text in texts.items()}
    needs = {m: {n for n in found if not m.startswith(n + ".") and n} for m, found in needs.items()}
    free = set()
    while more := {m for m, found in needs.items() if m not in free and found <= free}:
        free |= more
    return sorted(set(texts) - free)


def heavy_imports(texts):
    return [
        f"{module} imports {package}"
        for module, text in texts.items()
        for package in sorted({name.split(".")[0] for name in imports(text, top=True)} & set(HEAVY))
        if module not in HEAVY[package]
    ]


def loads(module, texts):
    """The packages, other than the library, that `import m2m.MODULE` imports."""
    found, open_modules, seen = set(), [module], set()
    while open_modules:
        now = open_modules.pop()
        if now in seen or now not in texts:
            continue
        seen.add(now)
        names = imports(texts[now], top=True)
        open_modules += [own for name in names if (own := of_library(name, texts)) is not None]
        open_modules += [now.rpartition(".")[0]]
        found |= {name.split(".")[0] for name in names if not name.startswith("m2m")}
    return found


def test_import_arrows():
    assert not wrong_arrows(sources())
    assert not circles(sources())


def test_import_arrows_can_be_wrong():
    texts = {"": "", "flows.flow": "from m2m.experiments import digits", "experiments.digits": "from m2m.flows import flow"}
    assert wrong_arrows(texts) == ["flows.flow imports experiments.digits"]
    assert wrong_arrows({"": "", "runtime": "import m2m.training", "training": ""}) == ["runtime imports training"]
    inside = "def f():\n    from m2m.data import moons"
    assert wrong_arrows({"": "", "messages.a": inside, "data.moons": ""}) == ["messages.a imports data.moons"]
    assert wrong_arrows({"elsewhere.a": ""}) == ["elsewhere.a: no room of ARROWS"]
    assert circles(texts) == ["experiments.digits", "flows.flow"]


def test_what_is_slow_to_import_is_imported_where_it_is_used():
    texts = sources()
    assert not heavy_imports(texts)
    assert not loads("", texts)
    for module in texts:
        slow = loads(module, texts) & set(HEAVY)
        assert "tensorflow" not in slow or module == "flows.tfp_moons"
        assert not slow & {"plotly", "matplotlib", "IPython", "PIL"} or module in ("plotting", "rendering")
        assert "numba" not in slow or module in HEAVY["numba"]


def test_slow_imports_are_seen():
    texts = {"": "", "data.a": "import h5py", "data.b": "def f():\n    import h5py", "data.c": "from m2m.data import a"}
    assert heavy_imports(texts) == ["data.a imports h5py"]
    assert loads("data.c", texts) == {"h5py"} and not loads("data.b", texts)


# --- Functions ------------------------------------------------------------------------------------------------------------


@functools.cache
def functions(text):
    """(name, function, class or None) of the functions and methods of a module, those within functions left out."""
    found = []
    for node in ast.parse(text).body:
        if isinstance(node, ast.FunctionDef):
            found.append((node.name, node, None))
        elif isinstance(node, ast.ClassDef):
            found += [(f"{node.name}.{f.name}", f, node) for f in node.body if isinstance(f, ast.FunctionDef)]
    return found


def code(function):
    """The statements without the docstring."""
    return function.body[1:] if ast.get_docstring(function) is not None else function.body


def length(function, text):
    if not code(function):
        return 0
    lines = text.split("\n")[code(function)[0].lineno - 1 : function.end_lineno]
    return sum(1 for line in lines if line.strip() and not line.strip().startswith("#"))


def long_functions(texts, longest=LONGEST, longer=LONGER):
    return [
        f"{module}.{name}: {length(f, text)} lines, expected at most {most}"
        for module, text in texts.items()
        for name, f, _ in functions(text)
        if length(f, text) > (most := longer.get(f"{module}.{name}", longest))
    ]


def written_twice(texts, size=25):
    """Functions of the same arguments and code, from so many nodes of the syntax tree on; methods may repeat an interface."""
    places = {}
    for module, text in texts.items():
        for name, f, owner in functions(text):
            if owner is None and sum(1 for part in code(f) for _ in ast.walk(part)) >= size:
                key = (ast.dump(f.args), *map(ast.dump, code(f)))
                places.setdefault(key, []).append(f"{module}.{name}")
    return [names for names in map(tuple, map(sorted, places.values())) if len(names) > 1]


def test_functions_are_short():
    assert not long_functions(sources())
    assert not set(LONGER) - {f"{m}.{name}" for m, text in sources().items() for name, _, _ in functions(text)}


def test_long_functions_are_seen():
    body = '    """One\n    sentence."""\n    # a comment\n' + "    x = 1\n" * LONGEST
    assert not long_functions({"a": f"def f():\n{body}"})
    assert long_functions({"a": f"def f():\n{body}    y = 2\n"}) == ["a.f: 26 lines, expected at most 25"]


def test_no_function_is_written_twice():
    assert not written_twice(sources())


def test_functions_written_twice_are_seen():
    body = "    for i in x:\n        if i * i + 2 > 3:\n            raise ValueError(i)\n    return x[0] + x[1] + x[2]\n"
    assert written_twice({"a": f"def f(x):\n{body}", "b": f'def g(x):\n    """Other words."""\n{body}'}) == [("a.f", "b.g")]
    assert not written_twice({"a": f"def f(x):\n{body}", "b": f"def g(x):\n{body.replace('2', '5')}"})


# --- Documentation; that every public name has a docstring is in book/test_reference --------------------------------------


def without_shapes(texts):
    """Public functions that take tensors or arrays and whose docstring has no shape such as (N, 3) or (...).

    A method's may be in the docstring of its class or of the module.
    """
    found = []
    for module, text in texts.items():
        about = ast.get_docstring(ast.parse(text)) or ""
        for name, f, owner in functions(text):
            arguments = [*f.args.args, *f.args.kwonlyargs, f.args.vararg]
            taken = [ast.unparse(a.annotation) for a in arguments if a is not None and a.annotation is not None]
            if f.name.startswith("_") or not any(re.match(r"((torch\.)?Tensor|(numpy\.)?ndarray)\b", t) for t in taken):
                continue
            said = (ast.get_docstring(f) or "") + (f"{ast.get_docstring(owner)}{about}" if owner else "")
            if not SHAPE.search(said):
                found.append(f"{module}.{name}")
    return found


def test_public_functions_of_tensors_say_their_shapes():
    assert not without_shapes(sources())


def test_missing_shapes_are_seen():
    text = 'def f(x: Tensor) -> Tensor:\n    """Half of x."""\n\ndef _g(x: Tensor): pass\n'
    assert without_shapes({"a": text}) == ["a.f"]
    assert not without_shapes({"a": text.replace("Half of x", "Half of x (N, 3)")})


# --- Use ------------------------------------------------------------------------------------------------------------------


def words(text):
    counted = {}
    for word in re.findall(r"\w+", text):
        counted[word] = counted.get(word, 0) + 1
    return counted


def unused(texts, everywhere, offered=OFFERED):
    """Public functions, classes and methods that only their own definition and their own tests name."""
    counted, found = {path: words(text) for path, text in everywhere.items()}, []
    for module, text in texts.items():
        names = {node.name for node in ast.parse(text).body if isinstance(node, ast.FunctionDef | ast.ClassDef)}
        names |= {name for name, _, owner in functions(text) if owner}
        own = [f"src/lib/m2m/{module.replace('.', '/')}{ending}" for ending in (".py", "/__init__.py")]
        test = f"test_{module.split('.')[-1]}.py"
        for name in sorted(names):
            word = name.split(".")[-1]
            there = (path for path, count in counted.items() if word in count and path not in own)
            if not word.startswith("_") and f"{module}.{name}" not in offered and words(text)[word] == 1:
                if all(path.startswith("tests/") and path.endswith(test) for path in there):
                    found.append(f"{module}.{name}")
    return found


def unused_imports(texts):
    """Names that a module imports and does not use. A doctest is a use, and so is `__all__`."""
    found = []
    for module, text in texts.items():
        for node in ast.parse(text).body:
            if isinstance(node, ast.Import | ast.ImportFrom) and getattr(node, "module", "") != "__future__":
                bound = [(alias.asname or alias.name).split(".")[0] for alias in node.names]
                found += [f"{module}: {name}" for name in bound if len(re.findall(rf"\b{name}\b", text)) == 1]
    return found


def test_every_public_name_is_used():
    assert not unused(sources(), users())
    assert not unused_imports(sources())


def test_unused_names_are_seen():
    text = "import os\nimport sys\n\ndef f():\n    return sys\n\ndef g():\n    return f()\n"
    everywhere = {"src/lib/m2m/data/a.py": text, "tests/data/test_a.py": "a.f(), a.g()"}
    assert unused({"data.a": text}, everywhere) == ["data.a.g"]
    assert not unused({"data.a": text}, everywhere | {"book/a.ipynb": "a.g()"})
    assert unused_imports({"data.a": text}) == ["data.a: os"]


@pytest.mark.parametrize("name", OFFERED)
def test_what_is_offered_is_there(name):
    module = max((m for m in sources() if within(name, [m])), key=len)
    assert name.removeprefix(module + ".") in {found for found, _, _ in functions(sources()[module])}
