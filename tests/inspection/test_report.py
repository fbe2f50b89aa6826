from __future__ import annotations

import io
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from tests.html_pages import Page

from kalamos.alphabets import DIGITS, Alphabet
from kalamos.datasets import Dataset, SkippedFile, Split
from kalamos.errors import OutputError
from kalamos.inspection import inspect
from kalamos.inspection.checks import ImageIndex
from kalamos.inspection.report import (
    MAX_CASES,
    MAX_CLASSES,
    MAX_IMAGES_PER_CLASS,
    as_record,
    inspection_page,
    print_report,
    sample_of_class,
    write_report,
)


def told(dataset: Dataset, *, most: int = 3) -> list[str]:
    stream = io.StringIO()
    print_report(Console(file=stream, width=60), inspect(dataset, labels=False), most=most)
    return stream.getvalue().splitlines()


def test_nothing_wrong_is_a_line_and_the_measures_follow(clean: Dataset) -> None:
    lines = told(clean)
    assert lines[0] == "clean: nothing wrong was found   (drawn by program)"
    assert [line.split()[0] for line in lines[2:]] == ["images", "classes", "sizes", "polarity", "labels"]
    assert lines[2] == "images   208   (train 160, test 48)"
    assert lines[3] == "classes  4 classes: ا ب A <b>; of 52 images; largest / smallest 1.0"
    assert lines[-1] == "labels   not checked"


def test_errors_come_first_each_case_on_its_line(clean: Dataset) -> None:
    images = clean.train.images.copy()
    images[41] = images[2]
    images[4:8] = images[3]
    dataset = replace(
        clean,
        name="[red]\x1b[31m",
        train=Split(images, clean.train.labels, names=tuple(f"[b]/{row}.png" for row in range(160))),
        problems=tuple(SkippedFile(f"{number}.png", "cut off") for number in range(5)),
    )
    lines = told(dataset, most=2)
    assert lines[0] == r"[red]\x1b[31m: 2 errors, 1 warning   (drawn by program)"
    assert lines[2:7] == [
        "error    unreadable or misplaced images: 5",
        "         0.png: cut off",
        "         1.png: cut off",
        "         and 3 more",
        "         → repair them, move them to their class, or remove them",
    ]
    assert lines[8] == "error    equal images under different labels: 1 set of 2 images"
    assert lines[9] == "         ا  train 2 [b]/2.png | ب  train 41 [b]/41.png"
    assert lines[12] == "warning  equal images: 1 set of 5 images"
    assert lines[13].endswith("| 2 more")


def test_no_cases_are_shown_where_none_are_wanted(clean: Dataset) -> None:
    dataset = replace(clean, problems=(SkippedFile("1.png", "cut off"),))
    assert "         and 1 more" in told(dataset, most=0)


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


def test_the_keys_are_stable(clean: Dataset) -> None:
    images = clean.train.images.copy()
    images[41] = images[2]
    names = tuple(f"{row}\ud800.png" for row in range(160))
    dataset = replace(clean, train=Split(images, clean.train.labels, np.arange(160), names), test=None)
    record = as_record(inspect(dataset, labels=False))
    assert list(record) == [
        "kalamos_version", "dataset", "source", "grouped_by", "errors", "warnings", "images", "parts",
        "classes", "imbalance", "sizes", "polarity", "label_check", "findings",
    ]  # fmt: skip
    assert (record["images"], record["parts"], record["imbalance"]) == (160, {"train": 160}, 1.0)
    assert record["classes"][0] == {"label": "ا", "train": 40}
    assert record["sizes"]["width"] == {"min": 28, "median": 28.0, "max": 28}
    assert record["polarity"] == {"dark_on_light": 0, "light_on_dark": 160, "unclear": 0}
    assert record["label_check"] is None
    two, across = record["findings"]
    assert list(two) == ["kind", "severity", "title", "meaning", "remedy", "count", "cases"]
    assert (two["kind"], two["severity"], two["count"]) == ("two-labels", "error", 1)
    assert across["kind"] == "group-crossing"
    [case] = two["cases"]
    assert list(case) == ["images", "what", "suggested", "quality", "difference"]
    assert case["images"][0] == {
        "part": "train",
        "index": 2,
        "label": "ا",
        "name": r"2\ud800.png",
        "group": 2,
    }
    assert json.loads(json.dumps(record, ensure_ascii=False, allow_nan=False).encode()) == record


def test_a_dataset_without_images_has_no_sizes() -> None:
    nothing = Split(np.zeros((0, 9, 9), np.uint8), np.zeros(0, np.int64))
    record = as_record(inspect(Dataset("none", DIGITS, nothing, None, "x"), labels=False))
    assert (record["images"], record["sizes"], record["imbalance"]) == (0, None, None)


def test_a_page_alone(clean: Dataset, tmp_path: Path) -> None:
    write_report(tmp_path / "page.HTML", inspect(clean, labels=False))
    assert [path.name for path in tmp_path.iterdir()] == ["page.HTML"]
    assert (tmp_path / "page.HTML").read_text("utf-8").count("<img") == 4 * 40


def test_a_folder_of_everything_twice(clean: Dataset, tmp_path: Path) -> None:
    diagnosis = inspect(clean, labels=False)
    for _ in range(2):
        write_report(tmp_path / "a" / "b", diagnosis)
    folder = tmp_path / "a" / "b"
    files = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.*"))
    assert files == ["inspection.html", "inspection.json"]
    assert json.loads((folder / "inspection.json").read_text("utf-8")) == as_record(diagnosis)


@pytest.mark.parametrize("name", ["file/report", "none/page.html"])
def test_a_place_that_cannot_be_written(clean: Dataset, tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(OutputError):
        write_report(tmp_path / name, inspect(clean, labels=False))
    assert (tmp_path / "file").read_text() == "mine"
