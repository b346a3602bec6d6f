"""What all tests share: the authors' tools can be imported, plots need no screen, weights do not depend on the order of tests."""

import os
import sys
from pathlib import Path

import pytest
import torch

os.environ.setdefault("MPLBACKEND", "agg")
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tools"))


@pytest.fixture(autouse=True)
def same_initial_weights():
    """Initial weights come from torch's global generator; without this they would depend on the tests that ran before."""
    torch.manual_seed(0)
