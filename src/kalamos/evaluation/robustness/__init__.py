"""The robustness suite: accuracy on images unlike those that a model was trained on.

MNIST-C's fifteen kinds (Mu and Gilmer 2019) at the dataset's own size, and fifteen of photographs and
scans, at three strengths each. Training uses none of this code and none of its parameters.
"""

from __future__ import annotations

from kalamos.evaluation.robustness.canvas import STRENGTHS, Corruption
from kalamos.evaluation.robustness.corruptions import CORRUPTIONS, corrupt
from kalamos.evaluation.robustness.suite import Cell, Estimate, Outcomes, ShiftReport, measure

__all__ = [
    "CORRUPTIONS",
    "STRENGTHS",
    "Cell",
    "Corruption",
    "Estimate",
    "Outcomes",
    "ShiftReport",
    "corrupt",
    "measure",
]
