from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from kalamos.alphabets import Alphabet
from kalamos.datasets import Dataset, SkippedFile, Split
from kalamos.doctor import inspect
from kalamos.doctor.page import CASES, SHEETS, render_page

SCRIPT = "<script>alert('x')</script>"
HOSTILE = f'"><img src=https://example.org/x onerror=alert(1)>{SCRIPT}\u202e\n'


class Tags(HTMLParser):
    """All tags with their attributes, and whether they close in order."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag) -> None:
        assert self.open.pop() == tag


@pytest.fixture
def page(clean: Dataset) -> str:
    images = clean.train.images.copy()
    images[1] = images[0]
    images[2] = 255 - images[3]
    dataset = replace(
        clean,
        name=HOSTILE,
        source=HOSTILE,
        alphabet=Alphabet("hostile", (SCRIPT, "ب", "A", "\u202eB")),
        train=Split(images, clean.train.labels, names=(HOSTILE,) * 160),
        problems=(SkippedFile(HOSTILE, HOSTILE),),
        test=None,
    )
    return render_page(inspect(dataset, labels=False), {0: b"png"})


def test_it_asks_nothing_of_the_network_and_runs_nothing(page: str) -> None:
    tags = Tags(page)
    assert tags.open == []
    assert {tag for tag, _ in tags.seen} <= {
        "html", "head", "meta", "title", "style", "body", "main", "header", "h1", "h2", "h3", "p", "dl",
        "dt", "dd", "bdi", "section", "span", "ul", "li", "div", "figure", "figcaption", "img", "table",
        "thead", "tbody", "tr", "th", "td", "i",
    }  # fmt: skip
    for _, attributes in tags.seen:
        assert not any(name.startswith("on") or name in ("href", "srcset") for name in attributes)
        assert (attributes.get("src") or "data:image/png;base64,").startswith("data:image/png;base64,")
    style = re.search(r"<style>(.*?)</style>", page, re.DOTALL)
    assert style is not None
    assert "url(" not in style[1]
    assert "@import" not in style[1]
    assert "default-src 'none'" in page


def test_names_are_escaped_and_isolated(page: str) -> None:
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert "\n&quot;" not in page
    assert page.count("<bdi>") == page.count("</bdi>")
    for place in re.finditer("\u202e", page.partition("</title>")[2]):
        before = page.partition("</title>")[2][: place.start()]
        assert before.rfind("<bdi>") > before.rfind("</bdi>")


def test_it_is_legible_in_the_dark_and_in_arabic(page: str) -> None:
    assert "prefers-color-scheme: dark" in page
    assert '<meta charset="utf-8">' in page
    assert "<bdi>ب</bdi>" in page


def test_what_is_not_shown_is_counted(clean: Dataset, draw) -> None:
    images = np.tile(draw(0, 1, seed=1), (160, 1, 1))
    images[:, 0, 0] = np.arange(160) // 2  # 80 pairs
    many = tuple(f"c{number}" for number in range(SHEETS + 5))
    dataset = replace(
        clean,
        alphabet=Alphabet("many", many),
        train=Split(images, np.zeros(160, np.int64)),
        test=None,
    )
    page = render_page(inspect(dataset, labels=False), dict.fromkeys(range(SHEETS + 5), b"png"))
    assert f"and {80 - CASES} more" in page
    assert "and 5 classes more" in page
    assert page.count('src="') == SHEETS + sum(
        len(re.findall("<img", section)) for section in re.findall(r"<section.*?</section>", page, re.DOTALL)
    )
    assert len(page) < 1_000_000


def test_nothing_wrong_is_said(clean: Dataset) -> None:
    page = render_page(inspect(clean, labels=False), {})
    assert "Nothing wrong was found" in page
    assert "<h2>Findings</h2>" not in page
