"""The apostrophe before what a spreadsheet would run, in the CSV of pages."""

from __future__ import annotations

import io

import pytest

from kalamos.pages.page import Page
from kalamos.pages.writers import open_page_writer


@pytest.mark.parametrize(("guard", "begins"), [(True, b"'=1.png,"), (False, b"=1.png,")])
def test_it_can_be_turned_off(guard: bool, begins: bytes) -> None:
    sink = io.BytesIO()
    with open_page_writer("csv", sink, formula_guard=guard) as writer:
        writer.write(Page(path="=1.png"))
    assert sink.getvalue().splitlines()[1].startswith(begins)
