"""The page of benches is what the results files say, and says who is first, who is level, and why m2m is not first."""

import json
import re
import shutil

import pytest

import repository
import speed
import speed_words

STORED = repository.ROOT / "book" / "speed.md"
RECORDS = speed.records()


def record(*rows, **about):
    machine = {"processor": "p", "cores": 2, "threads": 1, "load": 0.5}
    return {"command": "python -m b", "commit": "c", "clock": "processor time", "machine": machine, "versions": {"a": "1"},
            "rows": list(rows)} | about  # fmt: skip


def row(library, median, spread=0.1, task="depthwise, forward", **more):
    return {"task": task, "library": library, "median": median, "low": median - spread, "high": median + spread} | more


def written(folder, **records):
    (folder / "results").mkdir(exist_ok=True)
    for topic, one in records.items():
        (folder / "results" / f"bench_{topic}.json").write_text(json.dumps(one))
    return speed.page(folder)


# The stored page


def test_page_is_what_the_results_files_say():
    assert STORED.read_text(encoding="utf-8") == speed.page(), "run tools/speed.py"


def test_another_number_is_another_page(tmp_path):
    shutil.copytree(repository.ROOT / "results", tmp_path / "results")
    assert speed.page(tmp_path) == STORED.read_text(encoding="utf-8")
    path = tmp_path / "results" / "bench_harmonics.json"
    changed = json.loads(path.read_text())
    changed["rows"][2]["median"] *= 1.1
    path.write_text(json.dumps(changed))
    assert speed.page(tmp_path) != STORED.read_text(encoding="utf-8")


def test_a_file_that_is_missing_has_no_rows(tmp_path):
    page = written(tmp_path, steerable=record(row("m2m", 1.0), row("e3nn", 2.0)))
    assert "### Steerable messages" in page and "### Flows" not in page and page.count("| `") == 1
    assert written(tmp_path).count("| `") == 1


def test_everything_on_the_page_has_been_said():
    assert speed.UNSAID not in STORED.read_text(encoding="utf-8"), "a sentence is missing in tools/speed_words.py"


def test_what_has_not_been_said_is_seen(tmp_path):
    page = written(tmp_path, steerable=record(row("m2m", 2.0), row("somebody", 1.0)))
    assert page.count(speed.UNSAID) == 2  # whether the work is the same, and why m2m is not first


def test_every_bench_is_on_the_page():
    """The parts that `python -m bench` runs, read and not run."""
    text = (repository.ROOT / "bench" / "__main__.py").read_text(encoding="utf-8")
    [parts] = re.findall(r"for _part in \((.*)\):", text)
    assert set(parts.split(", ")) == set(speed_words.TOPICS) == set(speed_words.SAME)
    assert {topic for topic, *_ in speed_words.BEHIND + speed_words.AIMS} <= set(speed_words.TOPICS)


def test_every_aim_is_for_something_that_is_measured():
    lines = speed._aims({topic: speed.rows(one) for topic, one in RECORDS.items()})
    assert len(lines) == sum(topic in RECORDS for topic, *_ in speed_words.AIMS)
    assert not speed._aims({"flows": [speed.Row("another task", "m2m", 1.0, 1.0, 1.0)]})


def unequal(topic, rows):
    """Rows said to be the same work whose numbers of weights differ by more than a thousandth."""
    weights = {one.task: one.parameters for one in rows if one.library == "m2m"}
    return [one for one in rows if speed.same(topic, one).startswith("yes") and one.parameters
            and abs(one.parameters / weights[one.task] - 1) > 1e-3]  # fmt: skip


def test_the_same_work_has_as_many_weights():
    assert not [one for topic, stored in RECORDS.items() for one in unequal(topic, speed.rows(stored))]
    found = speed.rows(record(row("m2m", 1.0, parameters=1000), row("e3nn", 1.0, parameters=1002)))
    assert [one.library for one in unequal("steerable", found)] == ["e3nn"]


# Rows


def test_rows_of_flows_get_the_form_of_the_others():
    flows = {
        "dim": 2,
        "layers": 3,
        "hidden": [8],
        "operation": "sampling, 10",
        "parameters": 7,
        "median": 1.0,
        "low": 0.9,
        "high": 1.1,
    }
    found = speed.rows(record({"library": "m2m", **flows}, {"library": "m2m compiled", **flows}))
    assert found[1] == speed.Row("D = 2, sampling, 10", "m2m, compiled", 1.0, 0.9, 1.1, parameters=7)


@pytest.mark.parametrize(
    "wrong, what",
    [
        (record(row("e3nn", 1.0)), "got rows of e3nn, expected m2m"),
        (record(row("m2m", 1.0), row("m2m", 1.0)), "each library once"),
        (record(row("m2m", 1.0), clock="wall time"), "got wall time of 1 threads"),
        (record(row("m2m", 1.0), machine={"threads": 2}), "of 2 threads"),
    ],
)
def test_records_that_the_page_would_misrepresent_are_refused(wrong, what):
    with pytest.raises(ValueError, match=what):
        speed.rows(wrong)


# Who is first


def behind(*rows, topic="convolutions"):
    return [
        (one.form, one.first, one.what, round(one.times, 3), one.level)
        for one in speed.behind(topic, speed.rows(record(*rows)))
    ]


def test_who_is_behind():
    assert not behind(row("m2m", 1.0), row("e3nn", 2.0))
    assert behind(row("m2m", 3.0), row("e3nn", 2.0), row("scipy", 1.0)) == [("m2m", "scipy", "time", 3.0, False)]
    assert behind(row("m2m", 1.1), row("e3nn", 1.0)) == [("m2m", "e3nn", "time", 1.1, True)]
    memory = lambda ours, its: behind(row("m2m", 1.0, mebibytes=ours), row("e3nn", 2.0, mebibytes=its))
    assert memory(6.0, 4.0) == [("m2m", "e3nn", "memory", 1.5, False)] and not memory(4.0, 6.0)
    assert not memory(3.0, 1.5)
    assert memory(3.0, 0.0) == [("m2m", "e3nn", "memory", float("inf"), False)]


def test_every_form_of_m2m_counts_unless_it_is_another_function():
    slow = row("m2m, geometry too", 3.0)
    assert behind(row("m2m", 1.0), slow, row("e3nn", 2.0)) == [("m2m, geometry too", "e3nn", "time", 1.5, False)]
    assert not behind(row("m2m", 1.0), row("m2m, depthwise", 3.0), row("e3nn", 2.0), topic="attention")
    assert not behind(row("m2m", 2.0), row("m2m, geometry too", 1.0), row("e3nn", 3.0))  # its own forms do not beat m2m


def test_level_means_that_the_quartiles_overlap():
    a, b, c = (speed.Row("t", "m2m", *numbers) for numbers in ((1.0, 0.9, 1.1), (1.2, 1.1, 1.3), (1.3, 1.2, 1.4)))
    assert speed.level(a, b) and speed.level(b, a) and speed.level(b, c) and not speed.level(a, c)


def test_lines_of_the_table(tmp_path):
    its = record(row("m2m", 2.0, mebibytes=1.0), row("e3nn", 2.1, mebibytes=4.25), row("m2m", 1234.5, task="alone"))
    page = written(tmp_path, steerable=its)
    assert "| depthwise, forward | e3nn | 1.05, level | 2.00 | 1.0, 4.2 | yes |\n" in page
    assert "| alone | m2m alone | 1 | 1,234 | | |\n" in page
    its = record(row("m2m", 1.0, above=0.01, task="Sinkhorn"), row("POT", 2.0, above=0.036, task="Sinkhorn"))
    assert "its own rule to stop; 3.6% above the exact distance, m2m 1.0% |" in written(tmp_path, clouds=its)


@pytest.mark.parametrize(
    "value, text", [(0.09434, "0.0943"), (2.0, "2.00"), (46.0, "46.0"), (126.8, "127"), (999.7, "1,000")]
)
def test_three_digits(value, text):
    assert speed.digits(value) == text
