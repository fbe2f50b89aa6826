from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from tests.pages import Page

from kalamos.alphabets import Alphabet
from kalamos.datasets import Dataset, SkippedFile, Split
from kalamos.doctor import inspect
from kalamos.doctor.page import MAX_CASES, MAX_CLASSES, MAX_IMAGES_PER_CLASS, inspection_page, sample_of_class
from kalamos.doctor.pool import ImageIndex

SCRIPT = "<script>alert('x')</script>"
HOSTILE = f'"><img src=https://example.org/x onerror=alert(1)>{SCRIPT}\u202e\n'


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
    return inspection_page(inspect(dataset, labels=False))


def test_it_asks_nothing_of_the_network_and_runs_nothing(page: str) -> None:
    tags = Page(page)
    assert set(tags.tags) <= {
        "html", "head", "meta", "title", "style", "body", "main", "header", "h1", "h2", "h3", "p", "dl",
        "dt", "dd", "bdi", "section", "span", "ul", "li", "div", "figure", "figcaption", "img", "table",
        "thead", "tbody", "tr", "th", "td", "i",
    }  # fmt: skip
    assert not [name for _, name, _ in tags.attributes if name.startswith("on") or name in ("href", "srcset")]
    assert all(source.startswith("data:image/png;base64,") for source in tags.values("src"))
    style = re.search(r"<style>(.*?)</style>", page, re.DOTALL)
    assert style is not None
    assert "url(" not in style[1]
    assert "@import" not in style[1]
    assert "default-src 'none'" in page


def test_names_are_escaped_and_isolated(page: str) -> None:
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert "\n&quot;" not in page
    assert len(re.findall("<bdi[ >]", page)) == page.count("</bdi>")
    for place in re.finditer("\u202e", page.partition("</title>")[2]):
        before = page.partition("</title>")[2][: place.start()]
        assert before.rfind("<bdi") > before.rfind("</bdi>")


def test_it_is_legible_in_the_dark_and_in_arabic(page: str) -> None:
    assert "prefers-color-scheme: dark" in page
    assert '<meta charset="utf-8">' in page
    assert "<bdi>ب</bdi>" in page


def test_what_is_not_shown_is_counted(clean: Dataset, draw) -> None:
    images = np.tile(draw(0, 1, seed=1), (160, 1, 1))
    images[:, 0, 0] = np.arange(160) // 2  # 80 pairs
    many = tuple(f"c{number}" for number in range(MAX_CLASSES + 5))
    dataset = replace(
        clean,
        alphabet=Alphabet("many", many),
        train=Split(images, np.arange(160) % len(many)),
        test=None,
    )
    page = inspection_page(inspect(dataset, labels=False))
    assert f"and {80 - MAX_CASES} more" in page
    assert "and 5 classes more" in page
    in_findings = "".join(re.findall(r"<section.*?</section>", page, re.DOTALL)).count("<img")
    assert page.count('src="') - in_findings == MAX_CLASSES + 160 - len(many)
    assert len(page) < 1_000_000


def test_a_sample_is_of_its_class_and_always_the_same(clean: Dataset) -> None:
    images = ImageIndex(clean)
    rows = sample_of_class(images, 2)
    assert rows == sample_of_class(images, 2)
    assert len(rows) == MAX_IMAGES_PER_CLASS == len(set(rows))
    assert (images.labels[rows] == 2).all()
    assert rows == sorted(rows)


def test_nothing_wrong_is_said(clean: Dataset) -> None:
    page = inspection_page(inspect(clean, labels=False))
    assert "Nothing wrong was found" in page
    assert "<h2>Findings</h2>" not in page
