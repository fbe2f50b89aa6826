"""The walkthrough trains a network, in a kernel: it needs the extras 'train' and 'dev'."""

from __future__ import annotations

from importlib.util import find_spec

NEEDED = ("torch", "matplotlib", "onnxscript", "nbclient", "ipykernel")

collect_ignore = [] if all(map(find_spec, NEEDED)) else ["test_walkthrough.py"]
