"""Checkpoints on disk: a file is always whole, and says what it is."""

from __future__ import annotations

import os
from pathlib import Path

import torch
from torch import nn

FORMAT = "m2m.training/1"


def write(path: str | Path, state: dict) -> None:
    """Write a training's state so that at any moment the file is either the old one or the new one, whole."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    with part.open("wb") as file:
        torch.save({"format": FORMAT} | state, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(part, path)


def read(path: str | Path, model: nn.Module) -> dict:
    """The state that `write` wrote, for a model of the same shapes.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not a checkpoint, is damaged, or is one of another model.
    """
    if not Path(path).exists():
        raise FileNotFoundError(f"checkpoint {path}: there is no such file")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # what a damaged file raises depends on where it is damaged
        raise ValueError(f"checkpoint {path}: damaged, or not a checkpoint; remove it to start again") from error
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        raise ValueError(f"checkpoint {path}: got a file that m2m.training did not write, expected format {FORMAT!r}")
    shapes = lambda weights: {name: tuple(value.shape) for name, value in weights.items()}
    there, here = shapes(state["model"]), shapes(model.state_dict())
    names = [name for name in sorted(there | here) if there.get(name) != here.get(name)]
    differ = [f"{name} {there.get(name, 'absent')}, this model has {here.get(name, 'none')}" for name in names]
    if differ:
        raise ValueError(f"checkpoint {path}: of another model: {'; '.join(differ[:3])}{' ...' if differ[3:] else ''}")
    return state
