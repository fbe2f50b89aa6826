from __future__ import annotations

import cv2
import numpy as np
import pytest

from kalamos.shift.plots import shift_plot
from kalamos.shift.report import ShiftReport


def test_a_picture(report: ShiftReport) -> None:
    pytest.importorskip("matplotlib", reason="needs the extra 'train'")
    picture = cv2.imdecode(np.frombuffer(shift_plot(report), np.uint8), cv2.IMREAD_COLOR)
    assert picture.shape[1] == 1280
    assert picture.mean() > 127
    assert picture.std() > 20
