"""The table of limits in SECURITY.md names limits that the code has."""

from __future__ import annotations

import re
from pathlib import Path

from limit_cases import stated

ROOT = Path(__file__).parents[2]


def test_each_limit_is_one_of_the_code() -> None:
    source = (ROOT / "benchmarks" / "limit_cases.py").read_text(encoding="utf-8")
    names = re.findall(r"stated\([\"'](.+?)[\"']\)", source)
    assert len(names) > 20
    table = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    for name in names:
        assert stated(name) > 0
    assert f"{stated('images.documents.MAX_PAGES'):,}" in table
    assert f"{stated('images.pdf.MAX_PAGE_POINTS'):,}" in table
