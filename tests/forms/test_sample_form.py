"""The sample form: what the first how-to reads is there, is small, and fits its template."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import cv2
import pytest

from kalamos.forms import Form
from kalamos.forms.table import row_of
from kalamos.forms.template import FormTemplate
from kalamos.images import load_grey

FOLDER = Path(__file__).parents[2] / "samples-form"
SCANS = sorted((FOLDER / "scans").iterdir())


def test_it_is_small() -> None:
    sizes = [path.stat().st_size for path in FOLDER.rglob("*") if path.is_file()]
    assert max(sizes) <= 250_000
    assert sum(sizes) <= 1_200_000


def test_what_is_written_fits_the_template() -> None:
    form = FormTemplate.load(FOLDER / "form.toml")
    with (FOLDER / "truth.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["scan"] for row in rows] == [path.name for path in SCANS]
    for row in rows:
        assert [*row] == ["scan", *(field.name for field in form.fields)]
        for field in form.fields:
            text = row[field.name]
            assert text or field.may_be_blank
            if field.kind == "tick":
                assert text in field.options
            else:
                assert len(text) <= len(field.boxes)
                assert re.fullmatch(field.pattern or ".*", text)


def test_one_number_breaks_its_check_digit() -> None:
    luhn = pytest.importorskip("stdnum.luhn", reason="needs the extra 'forms'")
    with (FOLDER / "truth.csv").open(encoding="utf-8", newline="") as file:
        broken = [row["scan"] for row in csv.DictReader(file) if not luhn.is_valid(row["student"])]
    assert broken == ["5-curved.jpg"]


def test_the_empty_form_has_its_boxes_where_the_template_says() -> None:
    form = FormTemplate.load(FOLDER / "form.toml")
    [page] = form.pages
    image = load_grey(FOLDER / page.image)
    scale = image.shape[1] / page.width
    assert image.shape[0] == pytest.approx(page.height * scale, abs=1)
    for field in form.fields:
        for box in field.boxes:
            left, right, y = box.x * scale, (box.x + box.width) * scale, (box.y + box.height / 2) * scale
            for x in (left, right):
                assert image[round(y), round(x) - 2 : round(x) + 3].min() < 100
            assert image[round(y), round(left) + 4 : round(right) - 4].min() > 200


@pytest.mark.parametrize("path", SCANS, ids=lambda path: path.name)
def test_its_markers_are_seen_on_every_scan(path: Path) -> None:
    form = FormTemplate.load(FOLDER / "form.toml")
    detector = cv2.aruco.ArucoDetector(cv2.aruco.getPredefinedDictionary(cv2.aruco.DICT_4X4_50))
    ids = detector.detectMarkers(load_grey(path))[1]
    assert sorted(ids.ravel().tolist()) == [marker.id for marker in form.pages[0].markers]


def test_the_readme_shows_what_is_read() -> None:
    page = (FOLDER.parent / "README.md").read_text("utf-8")
    table = page.split("kalamos forms read samples-form/form.toml", 1)[1].split("\n\n", 2)[1]
    header, _, *lines = ([cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines())
    form = Form.load(FOLDER / "form.toml")
    assert len(lines) >= 2
    for cells in lines:
        shown = dict(zip(header, cells, strict=True))
        assert shown.pop("…") == "…"
        row = row_of(form.read(FOLDER.parent / shown["scan"]))
        row["scan"] = row["scan"].removeprefix(f"{FOLDER.parent}/")
        assert shown == {name: row[name] for name in shown}
    # What the sentence below the table says.
    with (FOLDER / "truth.csv").open(encoding="utf-8", newline="") as file:
        truth = {row["scan"]: row for row in csv.DictReader(file)}
    misread = [
        (number, name, cells[header.index(f"{name} status")])
        for number, cells in enumerate(lines, 1)
        for name, cell in zip(header, cells, strict=True)
        if truth[Path(cells[0]).name].get(name, cell) != cell and name != "scan"
    ]
    assert misread == [(2, "student", "check")]
    assert "The student number in the second row breaks its check digit, for its writer made a slip" in page
