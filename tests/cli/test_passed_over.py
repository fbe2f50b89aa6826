from __future__ import annotations

import pytest

from kalamos.cli.passed_over import SHOWN, tell_passed_over
from kalamos.datasets import Problem


def test_the_first_ones_are_named_and_the_others_counted(capsys: pytest.CaptureFixture[str]) -> None:
    tell_passed_over("pages", [])
    tell_passed_over("pages", [Problem("a.png", "no ink")])
    tell_passed_over("pages", [Problem(f"{place}.png", "damaged") for place in range(SHOWN + 1_200)])
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.splitlines() == [
        "pages: one file passed over",
        "  a.png: no ink",
        "pages: 1,205 files passed over",
        *(f"  {place}.png: damaged" for place in range(SHOWN)),
        "  and 1,200 more",
    ]
