from __future__ import annotations

import json
from pathlib import Path

import pytest

from kalamos.datasets import Dataset
from kalamos.doctor import inspect
from kalamos.doctor.records import as_record
from kalamos.doctor.report import write_report
from kalamos.errors import OutputError


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
