"""What all tests share: the authors' tools can be imported, and plots need no screen."""

import os
import sys
from pathlib import Path

os.environ.setdefault("MPLBACKEND", "agg")
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tools"))
