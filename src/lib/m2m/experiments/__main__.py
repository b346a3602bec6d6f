"""`python -m m2m.experiments NAME --scale gpu --out results/NAME.json`: a long run, which goes on where it stopped."""

from __future__ import annotations

import argparse
import json

from m2m import experiments, training


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m m2m.experiments", description="Run an experiment of the book, in full or in part."
    )
    parser.add_argument("name", choices=experiments.names(), help="the experiment")
    parser.add_argument("--scale", choices=("cpu", "gpu"), default="cpu", help="the size of the experiment")
    parser.add_argument("--out", help="results file; an interrupted run goes on from it")
    parser.add_argument("--seeds", type=int, nargs="+", help="only these seeds")
    parser.add_argument(
        "--only", action="append", default=[], metavar="KEY=VALUE,VALUE", help="only these settings; may be repeated"
    )
    parser.add_argument("--device", help="for an experiment that takes one, such as cuda:1")
    options = parser.parse_args(arguments)
    try:
        only = dict(_filter(text) for text in options.only)
    except ValueError as error:
        parser.error(str(error))
    rows = experiments.rows(
        options.name, options.scale, out=options.out, seeds=options.seeds, only=only or None, device=options.device
    )
    if training.processes().is_main_process:
        for row in rows:
            print(json.dumps(row["task"]), json.dumps(row["result"]), f"{row['seconds']:.1f} s")


def _filter(text: str) -> tuple[str, list]:
    key, equals, values = text.partition("=")
    if not (key and equals and values):
        raise ValueError(f"only: got {text!r}, expected KEY=VALUE,VALUE")
    return key, [_value(part) for part in values.split(",")]


def _value(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError:
        return text


if __name__ == "__main__":
    main()
