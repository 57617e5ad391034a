"""Benchmarks against peers and physical limits, and the tables made from their results."""

import importlib.util
import sys
from pathlib import Path

if importlib.util.find_spec("jaxrl_envs") is None:  # a checkout that is not installed
    sys.path.append(str(Path(__file__).resolve().parent.parent / "envs"))
