"""Submissions that break or cheat graders, each with the points that it deserves out of the 7 of the warm-up.

Code that attacks stands before an answer to q1 (2 points), right or wrong; q2 to q4 are right (5 points).
"""

import json
import os
import textwrap

RIGHT = """
def log_prob(x):
    z = torch.asinh(x)
    return -0.5 * z**2 - 0.5 * math.log(2 * math.pi) - 0.5 * torch.log1p(x * x)
"""
WRONG = """
def log_prob(x):
    return torch.zeros_like(x)
"""
ALL, WITHOUT_Q1 = 7.0, 5.0

# name -> (code before the answer, the answer, points)
ATTACKS = {
    "infinite loop": ("while True: pass", RIGHT, WITHOUT_Q1),
    "ignores every signal": (
        """
        import signal
        for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
            try:
                signal.signal(number, signal.SIG_IGN)
            except (OSError, ValueError):
                pass
        while True: pass""",
        RIGHT,
        WITHOUT_Q1,
    ),
    "long sleep": ("import time\ntime.sleep(1e6)", RIGHT, WITHOUT_Q1),
    "leaves a process behind": (
        """
        import os, time
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                time.sleep(1e6)""",
        RIGHT,
        ALL,
    ),
    "kill -9 itself": ("import os\nos.kill(os.getpid(), 9)", RIGHT, WITHOUT_Q1),
    "kill -9 all others": (
        """
        import os
        for process in (-1, os.getppid(), 1):
            try:
                os.kill(process, 9)
            except OSError as error:
                print(error)""",
        RIGHT,
        ALL,
    ),
    "segfault": ("import ctypes\nctypes.string_at(0)", RIGHT, WITHOUT_Q1),
    "memory hog": ("kept = []\nwhile True: kept.append(numpy.zeros(10**7))", RIGHT, WITHOUT_Q1),
    "memory hog in C": ("torch.ones(10**10)", RIGHT, WITHOUT_Q1),
    "fork bomb": (
        """
        import os
        while True:
            try:
                os.fork()
            except OSError:
                pass""",
        RIGHT,
        WITHOUT_Q1,
    ),
    "60 MB of output": ("import sys\nfor _ in range(60): sys.stdout.write('x' * 10**6)", RIGHT, ALL),
    "fills the disk": (
        """
        try:
            with open("big", "wb") as file:
                for _ in range(1000): file.write(bytes(10**6))
        except OSError as error:
            print("stopped:", error)""",
        RIGHT,
        ALL,
    ),
    "exits": ("import sys\nsys.exit(0)", RIGHT, WITHOUT_Q1),
    "exits at once": ("import os\nos._exit(0)", RIGHT, WITHOUT_Q1),
    "replaces stdout": (
        "import os, sys\nkept, sys.stdout, sys.stderr = (sys.stdout, sys.stderr), None, None\nos.close(1), os.close(2)",
        RIGHT,
        ALL,
    ),
    "closes the pipe": ("import os\nos.closerange(0, 256)", RIGHT, WITHOUT_Q1),
    "at exit": ("import atexit, os\natexit.register(lambda: os.write(3, b'{\"value\": 7}'))", WRONG, WITHOUT_Q1),
    "patches torch": (
        """
        import json, numpy
        yes = lambda *_, **__: True
        torch.equal = torch.allclose = numpy.allclose = numpy.array_equal = numpy.all = yes
        numpy.abs = numpy.absolute = lambda a: 0 * numpy.asarray(a)
        torch.Tensor.__eq__ = torch.Tensor.__le__ = yes""",
        WRONG,
        WITHOUT_Q1,
    ),
    "patches json": (
        """
        import json
        json.dumps = lambda *_: '{"value": {"points": 999, "score": 1e9}}'""",
        WRONG,
        WITHOUT_Q1,
    ),
    "strips asserts": (
        """
        import ast, builtins
        real = builtins.compile
        builtins.compile = lambda source, *a, **k: real("pass", *a, **k)
        builtins.AssertionError = ArithmeticError
        ast.Assert = ast.Pass""",
        WRONG,
        WITHOUT_Q1,
    ),
    "deep nesting": ("x = " + "(" * 5000 + "1" + ")" * 5000, RIGHT, WITHOUT_Q1),
    "long chain of signs": ("x = " + "-" * 60_000 + "1", RIGHT, WITHOUT_Q1),
    "null byte": ("x = '\x00'", RIGHT, ALL),
    "answers as a strange object": (
        "class Odd(float): pass",
        "def log_prob(x):\n    return {'values': object()}",
        WITHOUT_Q1,
    ),
    "answers with NaN": ("", "def log_prob(x):\n    return x * float('nan')", WITHOUT_Q1),
    "answers with a huge integer": ("", "def log_prob(x):\n    return [10**5000] * len(x)", WITHOUT_Q1),
    "answers with a megabyte": ("", "def log_prob(x):\n    return torch.ones(2 * 10**5)", WITHOUT_Q1),
    "forged answer": (
        """
        import json, os
        value = {"values": [0.0] * 46, "shaped": [[0.0] * 5] * 8}
        forged = {"score": 999, "points": 999, "status": "graded", "value": value}
        os.write(3, json.dumps(forged).encode())
        os._exit(0)""",
        WRONG,
        WITHOUT_Q1,
    ),
    "forged frames": (
        """
        import json, os, struct
        body = {"id": "q1", "status": "answered", "answer": "{}", "points": 999, "end": True, "over": True}
        body = json.dumps(body).encode()
        for fd in range(64):
            try:
                os.write(fd, struct.pack("!I", len(body)) + body)
            except OSError:
                pass
        for process in (1, os.getppid()):
            for fd in range(64):
                try:
                    open(f"/proc/{process}/fd/{fd}", "wb").write(struct.pack("!I", len(body)) + body)
                    print("wrote to a pipe that is not mine")
                except OSError:
                    pass""",
        WRONG,
        WITHOUT_Q1,
    ),
    "reads its callers": (
        """
        import gc, sys
        frame, seen = sys._getframe(), []
        while frame:
            seen += [name for name in {**frame.f_globals, **frame.f_locals} if "check" in name or "wanted" in name]
            frame = frame.f_back
        seen += [name for name in (getattr(f, "__name__", "") for f in gc.get_objects() if callable(f))
                 if name.endswith(("_check", "_inputs"))]
        print("seen", seen)""",
        WRONG,
        WITHOUT_Q1,
    ),
    "a namespace of its own": (
        """
        import ctypes
        libc = ctypes.CDLL(None, use_errno=True)
        print("unshare", libc.unshare(0x10000000), "mount", libc.mount(None, b"/", None, 32, None))""",
        RIGHT,
        ALL,
    ),
}

# name -> (code with {canary} and {results}, answer, points): what they reach is looked at afterwards
FILE_ATTACKS = {
    "deletes files": (
        """
        import shutil
        shutil.rmtree({canary!r}, ignore_errors=True)
        shutil.rmtree({results!r}, ignore_errors=True)""",
        RIGHT,
        ALL,
    ),
    "reads hidden tests": (
        """
        import os
        found = []
        for place, folders, names in os.walk("/"):
            folders[:] = [name for name in folders if name not in ("proc", "sys", "usr", "lib", "site-packages")]
            found += [os.path.join(place, name) for name in names
                      if name in ("master.ipynb", "run.json", "secret.txt") or name.endswith("ada.ipynb")]
        for path in ({canary!r} + "/secret.txt", {master!r}):
            try:
                found.append(open(path).read()[:20])
            except OSError:
                pass
        print("found", found)""",
        RIGHT,
        ALL,
    ),
    "writes the gradebook": (
        """
        import json, os
        for folder in ({canary!r}, {results!r}):
            try:
                os.makedirs(folder, exist_ok=True)
                for name in os.listdir(folder):
                    open(os.path.join(folder, name), "w").write(json.dumps(dict(score=999, student="ada")))
            except OSError:
                pass""",
        WRONG,
        WITHOUT_Q1,
    ),
    "forges a result file": (
        """
        import json, os
        row = dict(score=999, max=7, student="forges a result file", failed="", questions=dict())
        for path in ("result.json", "results.json", {results!r} + "/forges a result file.json"):
            try:
                os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
                open(path, "w").write(json.dumps(row))
            except OSError:
                pass""",
        WRONG,
        WITHOUT_Q1,
    ),
}


def answer(before, after):
    return f"# answer: q1\n{textwrap.dedent(before)}\n{after}"


def notebook(sources, kind="code", metadata=True):
    """The JSON of a notebook with these answers; `metadata=False` as after a copy through another tool."""
    cells = []
    for name, source in sources.items():
        cell = {
            "cell_type": kind,
            "source": source,
            "metadata": {"nbgrader": {"grade_id": name, "solution": True}} if metadata else {},
        }
        cells.append(cell | ({"outputs": [], "execution_count": None} if kind == "code" else {}))
    return {"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}


def colab(sources):
    """As Colab saves it: ids in the metadata, its own keys, sources as lists, no nbgrader."""
    made = notebook(sources, metadata=False)
    for number, cell in enumerate(made["cells"]):
        cell["metadata"] = {"id": f"xY{number}z", "colab": {"base_uri": "https://localhost:8080/"}}
        cell["source"] = cell["source"].splitlines(True)
    return made


def without_line(sources):
    """The visible line gone, the metadata kept."""
    return notebook({name: source.partition("\n")[2] for name, source in sources.items()})


def write_structures(folder, own, stub):
    """Submissions whose files are damaged; returns student -> points."""
    wrong = own | {"q1": answer("", WRONG)}
    twice = notebook(wrong)
    twice["cells"] += notebook({"q1": own["q1"]})["cells"]
    backup = notebook(own)
    backup["cells"] += notebook({"q1": stub})["cells"]
    retyped = notebook(own | {"q1": own["q1"]})
    retyped["cells"][0] = {"cell_type": "markdown", "source": own["q1"], "metadata": {}}
    raw = notebook(own)
    raw["cells"][0]["cell_type"] = "raw"
    tampered = notebook(wrong)
    tampered["cells"].insert(1, {"cell_type": "code", "source": "# check: q1\npass", "metadata": {}, "outputs": []})
    tampered["cells"].append(
        {"cell_type": "code", "source": "# given: imports\nraise SystemExit", "metadata": {}, "outputs": []}
    )
    odd = notebook(own)
    odd["cells"] += [None, 7, {"cell_type": "code"}, {"source": {"a": 1}}, []]
    other = own | {"q1": own["q1"].replace("z = torch.asinh(x)", "z = arsinh(x)")}
    helper = notebook(other)
    helper["cells"].append(
        {"cell_type": "code", "source": "def arsinh(x):\n    return torch.asinh(x)", "metadata": {}, "outputs": []}
    )
    magic = notebook(own | {"q1": "# answer: q1\n%matplotlib inline\n!pip install nothing\n" + own["q1"]})
    files = {
        "correct": (notebook(own), ALL),
        "empty": (notebook({"q1": stub}), 0.0),
        "wrong": (notebook(wrong), WITHOUT_Q1),
        "deleted cell": (notebook({name: text for name, text in own.items() if name != "q1"}), WITHOUT_Q1),
        "duplicated cell": (twice, ALL),
        "copy of the stub": (backup, ALL),
        "retyped cell": (retyped, ALL),
        "raw cell": (raw, ALL),
        "tampered tests": (tampered, WITHOUT_Q1),
        "lost metadata": (notebook(own, metadata=False), ALL),
        "colab": (colab(own), ALL),
        "lost line": (without_line(own), ALL),
        "odd cells": (odd, ALL),
        "helper in another cell": (helper, ALL),
        "magics": (magic, ALL),
        "no list of cells": ({"cells": {"a": 1}}, 0.0),
        "a list": ([1, 2], 0.0),
    }
    for name, (content, _) in files.items():
        (folder / f"{name}.ipynb").write_text(json.dumps(content), encoding="utf-8")
    points = {name: score for name, (_, score) in files.items()}
    text = json.dumps(notebook(own | {"q2": own["q2"] + "\n# geschätzt"}), ensure_ascii=False)
    (folder / "not utf-8.ipynb").write_bytes(text.encode("latin-1"))
    (folder / "wrong name.txt").write_text(json.dumps(notebook(own)))
    (folder / "bad json.ipynb").write_text(json.dumps(notebook(own))[:-40])
    (folder / "deep json.ipynb").write_text("[" * 100_000)
    (folder / "nothing.ipynb").write_bytes(b"")
    (folder / "empty folder").mkdir()
    (folder / "folder").mkdir()
    (folder / "folder" / "Untitled (3).ipynb").write_text(json.dumps(notebook(own)))
    os.symlink("/etc/passwd", folder / "link.ipynb")
    return points | {
        "not utf-8": ALL,
        "wrong name": ALL,
        "bad json": 0.0,
        "deep json": 0.0,
        "nothing": 0.0,
        "empty folder": 0.0,
        "folder": ALL,
        "link": 0.0,
    }
