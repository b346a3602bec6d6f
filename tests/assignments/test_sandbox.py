"""Which sandbox is used, what it is told, and what happens when the sandbox itself is in trouble."""

import json
import os
import shutil
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from m2m.assignments import answers, containers, frames, namespaces, sandbox, supervisor
from m2m.assignments.sandbox import Sandbox, SandboxError


def question(name, source, probe="def probe(answer, _): return answer.value", seconds=20.0):
    return {"id": name, "program": [["cell", source]], "probe": probe, "inputs": {"a": 1}, "seconds": seconds}


def value(record):
    return json.loads(record["answer"]).get("value")


@pytest.fixture(params=["namespace", "process"])
def either(request):
    if request.param == "namespace" and (reason := sandbox.works("namespace")):
        pytest.skip(reason)
    with Sandbox(request.param) as started:
        yield started


def test_values_come_back(either):
    records = either.run(
        [
            question("a", "import numpy\nvalue = {'x': numpy.arange(3), 'y': (1, None, 'z')}"),
            question("b", "", "def ask(answer, inputs):\n    return [inputs['a'], lambda: 1 / 0]"),
            question("c", "value = object()"),
            question("d", "x = 1"),
            question("e", "1 +"),
        ]
    )
    assert value(records["a"]) == {"x": [0, 1, 2], "y": [1, None, "z"]}
    assert value(records["b"])[0] == 1 and "ZeroDivisionError" in value(records["b"])[1]["error"]
    for name, text in (
        ("c", "expected numbers, text, lists or tensors, got object"),
        ("d", "does not define 'value'"),
        ("e", "SyntaxError"),
    ):
        assert text in json.loads(records[name]["answer"])["error"]


def test_answers_do_not_see_each_other(either):
    leave = "import builtins, os\nbuiltins.left = 1\nvalue = 1"
    look = "import builtins\nvalue = hasattr(builtins, 'left')"
    records = either.run([question("a", leave), question("b", look)])
    assert (value(records["a"]), value(records["b"])) == (1, False)


def test_submissions_do_not_see_each_other(either):
    write = "import os\nopen('note', 'w').write('psst')\nvalue = os.listdir('.')"
    look = "import os, tempfile\nvalue = [os.path.exists(os.path.join(place, 'note')) for place in ('.', tempfile.gettempdir())]"
    assert value(either.run([question("a", write)])["a"]) == ["note"]
    assert value(either.run([question("b", look)])["b"]) == [False, False]


def test_the_grader_environment_is_not_passed_on(either, monkeypatch):
    monkeypatch.setenv("SECRET_OF_THE_GRADER", "x")
    assert "SECRET_OF_THE_GRADER" not in value(either.run([question("a", "import os\nvalue = dict(os.environ)")])["a"])


@pytest.mark.skipif(os.geteuid() == 0, reason="root's processes are not counted against the limit")
def test_a_limit_on_processes(either):
    source = (
        "import os\nvalue = 0\ntry:\n    while True:\n        if os.fork() == 0: import time; time.sleep(60)\n        value += 1\n"
        "except OSError:\n    pass"
    )
    assert 0 < value(either.run([question("a", source)])["a"]) <= sandbox.PROCESSES


def test_the_rest_is_graded_when_the_supervisor_dies():
    """Possible in a plain process only: there a submission can kill what runs it."""
    with Sandbox("process") as plain:
        records = plain.run(
            [
                question("a", "import os\nos.kill(os.getppid(), 9)\nimport time\ntime.sleep(60)"),
                question("b", "value = 2"),
            ]
        )
    assert records["a"]["status"] == "lost" and value(records["b"]) == 2


def test_a_server_that_dies_is_started_again(either):
    assert value(either.run([question("a", "value = 1")])["a"]) == 1
    either.process.kill()
    either.process.wait()
    records = either.run([question("b", "value = 2"), question("c", "value = 3")])
    assert value(records["c"]) == 3


@pytest.mark.parametrize("kind", ["namespace", "process"])
def test_nothing_runs_on_when_the_grader_is_killed(kind):
    if kind == "namespace" and (reason := sandbox.works("namespace")):
        pytest.skip(reason)
    endless = "import pathlib\npathlib.Path('started').touch()\nwhile True: pass"
    program = (
        "from m2m.assignments.sandbox import Sandbox\n"
        f"with Sandbox({kind!r}, preload='') as box:\n"
        "    box._start(); print(box.process.pid, box.root, flush=True)\n"
        f"    box.run([{question('a', endless, seconds=60.0)!r}])\n"
    )
    grader = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, start_new_session=True)
    server, folder = grader.stdout.readline().split()
    family = wait_for(lambda: len(found := sandbox_family(int(server))) >= 3 and found)
    grader.kill(), grader.wait()
    shutil.rmtree(folder, ignore_errors=True)
    assert wait_for(lambda: not any(alive(pid) for pid in family))


def sandbox_family(pid):
    """A process and all below it."""
    return [pid, *supervisor.descendants(pid)] if alive(pid) else []


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_for(condition, seconds=20.0):
    end = time.monotonic() + seconds
    while not (found := condition()) and time.monotonic() < end:
        time.sleep(0.05)
    return found


def test_what_it_must_not_show_stops_it(namespace, tmp_path):
    inside = sandbox.library()
    with (
        Sandbox(namespace, hidden=[inside + "/m2m/runtime.py"]) as started,
        pytest.raises(ValueError, match="move it elsewhere"),
    ):
        started.run([question("a", "value = 1")])
    with Sandbox(namespace, hidden=[tmp_path]) as started:
        assert (
            value(started.run([question("a", f"import os\nvalue = os.path.exists({str(tmp_path)!r})")])["a"]) is False
        )


def test_unknown_kind():
    with pytest.raises(ValueError, match="expected one of namespace, container, process"):
        Sandbox("jail")


def test_choice(monkeypatch):
    reasons = {"namespace": "forbidden", "container": "no engine", "process": ""}
    monkeypatch.setattr(sandbox, "works", reasons.get)
    kind, said = sandbox.choose("auto")
    assert kind == "process" and "forbidden" in said[0] and "no engine" in said[1] and said[2] == sandbox.WARNING
    assert sandbox.choose("process") == ("process", [sandbox.WARNING])
    with pytest.raises(SandboxError, match="no engine"):
        sandbox.choose("container")
    reasons["namespace"] = ""
    assert sandbox.choose("auto") == ("namespace", [])


def test_a_program_that_does_not_start():
    with Sandbox("process", preload="raise SystemExit") as broken, pytest.raises(SandboxError, match="did not start"):
        broken.run([question("a", "value = 1")])


# Containers


@pytest.fixture
def engine(tmp_path, monkeypatch):
    """A stand-in for docker: it writes down its arguments and runs the command after the image, without a container."""
    log = tmp_path / "log"
    path = tmp_path / "docker"
    path.write_text(
        f"#!{sys.executable}\nimport json, os, sys\n"
        f"open({str(log)!r}, 'a').write(json.dumps(sys.argv[1:]) + '\\n')\n"
        f"if sys.argv[1] == 'image': sys.exit(1)\n"
        f"if sys.argv[1] == 'run':\n"
        f"    command = sys.argv[sys.argv.index({containers.IMAGE!r}) + 1:]\n"
        f"    settings = json.loads(command[-1]) | {{'root': {str(tmp_path)!r} + '/root'}}\n"
        f"    os.makedirs(settings['root'], exist_ok=True)\n"
        f"    command[-1] = json.dumps(settings)\n"
        f"    os.execv(command[0], command)\n"
    )
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr(containers.shutil, "which", lambda name: str(path) if name == "docker" else None)
    return lambda: [json.loads(line) for line in log.read_text().splitlines()]


def test_a_container_for_each_submission(engine):
    with Sandbox("container") as started:
        for k in range(2):
            assert value(started.run([question("a", f"value = {k}")])["a"]) == k
    calls = [call for call in engine() if call[0] == "run"]
    assert len(calls) == 2
    for wanted in (
        "--network=none",
        "--read-only",
        "--cap-drop=ALL",
        "--security-opt=no-new-privileges",
        "--user=65534:65534",
        "--rm",
    ):
        assert wanted in calls[0]
    mounts = [part for part in calls[0] if part.startswith("--volume=")]
    assert mounts and all(mount.endswith(":ro") for mount in mounts)
    assert ["import", "-", containers.IMAGE] in engine()


def test_a_real_container():
    if containers.engine() is None:
        pytest.skip("no docker or podman that answers")
    assert sandbox.works("container") == ""


# Small parts


def test_frames():
    out, into = os.pipe()
    frames.write_frame(into, {"a": [1, "é"]})
    os.close(into)
    assert frames.read_frame(out) == {"a": [1, "é"]} and frames.read_frame(out) is None
    os.close(out)
    out, into = os.pipe()
    os.write(into, b"\xff\xff\xff\xff")
    with pytest.raises(ValueError, match="expected at most"):
        frames.read_frame(out)
    os.close(out), os.close(into)


def test_magics_become_comments():
    assert answers.without_magics("x = '''\n%a\n'''") == "x = '''\n%a\n'''"
    assert answers.without_magics("if 1:\n    %time x = 1\n!ls") == "if 1:\npass  #     %time x = 1\npass  # !ls"


def test_descendants():
    process = subprocess.Popen(["sleep", "30"])
    assert process.pid in supervisor.descendants(os.getpid())
    process.kill()
    process.wait()
    assert process.pid not in supervisor.descendants(os.getpid())


def test_a_call_that_fails_says_so():
    with pytest.raises(OSError, match="umount2"):
        namespaces.call("umount2", "/no/such/place", 0)
    with pytest.raises(OSError, match="has no no_such_call"):
        namespaces.call("no_such_call")
