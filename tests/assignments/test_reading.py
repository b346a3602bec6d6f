"""Submissions as data, the program of an answer, and what a judge makes of values."""

import base64
import json
import math

import numpy
import pytest

from m2m.assignments import answers, expect, judge, programs
from m2m.assignments.answers import Cell
from m2m.assignments.judge import Malformed, Question, close, marks, numbers, part

PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(20)).decode()


def read(tmp_path, content):
    path = tmp_path / "a.ipynb"
    path.write_text(json.dumps(content))
    return answers.read_notebook(path)


@pytest.mark.parametrize(
    ("line", "part", "question"),
    [
        ("# answer: q1", "answer", "q1"),
        ("#answer:q1", "answer", "q1"),
        ("**answer: q13**", "answer", "q13"),
        ("# Answer: Q2 ", "answer", "q2"),
        ("<!-- answer: q3 -->", "answer", "q3"),
        ("# check: q1", "check", "q1"),
        ("# given: imports", "given", ""),
        ("\n\n# answer: q4", "answer", "q4"),
        ("# check this first", "", ""),
        ("# the answer is 7", "", ""),
        ("answer: q1", "", ""),
        ("x = 'answer: q1'", "", ""),
    ],
)
def test_first_lines(tmp_path, line, part, question):
    cells, notes = read(tmp_path, {"cells": [{"cell_type": "code", "source": line + "\nx = 1", "metadata": {}}]})
    assert (cells[0].part, cells[0].question, notes) == (part, question, [])


def test_line_before_metadata(tmp_path):
    cell = {"cell_type": "code", "source": "# answer: q2", "metadata": {"nbgrader": {"grade_id": "q1"}}}
    cells, notes = read(tmp_path, {"cells": [cell]})
    assert cells[0].question == "q2" and "its line counts" in notes[0]


def test_only_real_pictures_are_kept(tmp_path):
    svg = {"data": {"image/svg+xml": "<svg onload=alert(1)>"}}
    fake = {"data": {"image/png": base64.b64encode(b"<script>").decode()}}
    outputs = [svg, fake, {"data": {"image/png": "?"}}, {"data": {"image/png": [PNG[:10], PNG[10:]]}}, "no output"]
    cells, _ = read(
        tmp_path, {"cells": [{"cell_type": "code", "source": "# answer: q1", "metadata": {}, "outputs": outputs}]}
    )
    assert cells[0].figures == [PNG]


def test_format_3(tmp_path):
    cells, notes = read(tmp_path, {"worksheets": [{"cells": [{"cell_type": "code", "input": "# answer: q1\nx = 1"}]}]})
    assert cells[0].question == "q1" and not notes


def test_too_large(tmp_path, monkeypatch):
    monkeypatch.setattr(answers, "LARGEST_NOTEBOOK", 10)
    assert read(tmp_path, {"cells": []})[0] == []


def test_empty_means_nothing_added():
    given = answers.skeleton("# answer: q1\ndef f(x):\n    ### BEGIN SOLUTION\n    return 7\n    ### END SOLUTION")
    stub = "# answer: q1\ndef f(x):\n    # YOUR CODE HERE\n    raise NotImplementedError()"
    assert answers.is_empty(stub, given) and answers.is_empty("# answer: q1\n\n", given)
    assert not answers.is_empty(stub + "\n    # and more", given)
    assert not answers.is_empty("# answer: q1\ndef f(x):\n    return 7", given)


# Programs


def cell(source, question=""):
    return Cell("code", source, "answer" if question else "", question)


def test_what_an_answer_uses_comes_with_it():
    one, two, three = cell("a = 1"), cell("def f(): return a + math.pi"), cell("b = 2")
    own = cell("def g(): return f()", "q2")
    assert programs.needed(own, [one, two, three, own], {"math"}) == [one, two, own]


def test_a_local_name_needs_no_other_cell():
    broken, own = cell("value = 1\nf = 1 / 0", "q1"), cell("def g(x):\n    value = x\n    return [value for f in x]", "q2")
    assert programs.needed(own, [broken, own], set()) == [own]
    free = cell("def g(x): return value + x", "q2")
    assert programs.needed(free, [broken, free], set()) == [broken, free]


def test_the_last_definition_before_the_answer_counts():
    first, second, own, late = cell("a = 1"), cell("a = 2"), cell("x = a", "q1"), cell("a = 3")
    assert programs.needed(own, [first, second, own, late], set()) == [second, own]
    assert programs.needed(own, [own, late], set()) == [late, own]


def test_circles_and_broken_cells_end():
    one, two = cell("def f(): return g()"), cell("def g(): return f()")
    assert programs.needed(one, [one, two], set()) == [two, one]
    assert programs.names_of("x = (((") == (set(), set())
    assert programs.names_of("x = " + "-" * 200_000 + "1") == (set(), set())
    assert programs.names_of("%matplotlib inline\nx = y")[0] == {"x"}


def test_imports_of_given_cells():
    assert (
        programs.imports_of(["import math\nx = 1\nfrom os import path as p"]) == "import math\nfrom os import path as p"
    )


# Judging values


def question(check, points=2):
    return Question("q", "a question", points, probe=lambda answer, _: None, check=check)


@pytest.mark.parametrize(
    "output", [None, "text", [1, [2]], [[1.0, 2.0]], {"a": 1}, [1, 2, 3], ["1", "x"], [10**400, 1], True]
)
def test_numbers_of_another_form_are_refused(output):
    with pytest.raises(Malformed, match="expected numbers of shape"):
        numbers(output, (2,))
    assert numbers([1, 2.5], (2,)).tolist() == [1, 2.5]


def test_nan_and_infinity_are_never_close():
    assert close([1.0, 2.0], [1.0, 2.0], 0)
    for bad in (math.nan, math.inf, -math.inf):
        assert not close([1.0, bad], [1.0, 2.0], 1e9)


def test_parts_fail_alone():
    def check(inputs, output):
        yield part(1, lambda: close(numbers(output, (), "a"), 1, 0), "a")
        yield part(1, lambda: close(numbers(output, (), "b"), 2, 0), "b", "a hint")

    parts, stopped = marks(question(check), None, {"b": 2})
    assert [one["points"] for one in parts] == [0, 1] and not stopped
    parts, _ = marks(question(check), None, {"a": {"error": "ZeroDivisionError"}, "b": 3})
    assert parts[0]["hint"] == "ZeroDivisionError" and parts[1]["hint"] == "a hint"


def test_an_unforeseen_answer_stops_and_says_so():
    def check(inputs, output):
        yield part(1, True, "first")
        yield part(1, output["there"]["is"] == "nothing", "second")

    parts, stopped = marks(question(check), None, 7)
    assert len(parts) == 1 and "form" in stopped


@pytest.mark.parametrize("share", [math.nan, -1.0, 0.0])
def test_shares_below_nothing(share):
    assert part(3, share, "x")["points"] == 0
    assert part(3, 5.0, "x")["points"] == 3


def test_a_judge_cannot_give_more_than_the_points():
    with pytest.raises(ValueError, match="more than its 2 points"):
        marks(question(lambda inputs, output: iter([part(3, True, "x")])), None, None)


def test_inputs_depend_on_seed_and_question(flows):
    q1, q3 = flows.question("q1"), flows.question("q3")
    assert judge.draw(q1, 1) == judge.draw(q1, 1) != judge.draw(q1, 2)
    assert judge.draw(q1, 1)["x"][:2] != judge.draw(q3, 1)["x"][:2]


def test_a_probe_travels_alone(flows):
    for one in flows.questions:
        if isinstance(one, Question):
            source = judge.probe_source(one)
            assert source.startswith("def ") and "_check" not in source and "part(" not in source


# Visible checks


def test_a_visible_check_teaches(capsys):
    expect.close(numpy.array([1.0, 2.0]), [1, 2], "two numbers", "hint")
    assert capsys.readouterr().out == "Right: two numbers.\n"
    with pytest.raises(expect.NotYet) as caught:
        expect.close([1.0, 3.0], [1, 2], "two numbers", "Mind the sign.", read="two_moons#The bridge")
    said = str(caught.value)
    assert all(
        text in said
        for text in (
            "expected  [1. 2.]",
            "got       [1. 3.]",
            "Hint: Mind the sign.",
            "'two moons', section 'The bridge'",
        )
    )
    assert caught.value._render_traceback_() == said.split("\n")


@pytest.mark.parametrize("got", [None, "x", [1.0], [1.0, math.nan], lambda: 1])
def test_a_visible_check_refuses(got):
    with pytest.raises(expect.NotYet):
        expect.close(got, [1, 2], "two numbers", "hint")


def test_a_condition(capsys):
    expect.true(numpy.bool_(True), "it holds", "hint")
    with pytest.raises(expect.NotYet, match="Hint: why"):
        expect.true(False, "it holds", "why")
