"""`kalamos data inspect`, over folders of images, by its command object."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner, Result

from kalamos.cli import cli
from kalamos.errors import KalamosError, MissingExtraError


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli, ["data", "inspect", *map(str, arguments)])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two classes of twelve images each, all different and fine."""
    hand = np.random.default_rng(0)
    for label, corners in {"ا": [(14, 6), (14, 22)], "ب": [(6, 10), (9, 18), (19, 18), (22, 10)]}.items():
        (tmp_path / "data" / label).mkdir(parents=True)
        for number in range(12):
            page = np.zeros((112, 112), np.uint8)
            points = (4 * (np.array(corners) + hand.normal(0, 1.5, (len(corners), 2)))).astype(np.int32)
            cv2.polylines(
                page, [points.reshape(-1, 1, 2)], False, 255, int(hand.integers(6, 12)), cv2.LINE_AA
            )
            image = cv2.resize(page, (28, 28), interpolation=cv2.INTER_AREA)
            (tmp_path / "data" / label / f"{number}.png").write_bytes(
                cv2.imencode(".png", image)[1].tobytes()
            )
    return tmp_path / "data"


def test_a_clean_folder_exits_with_zero(folder: Path) -> None:
    outcome = run(folder, "--no-labels")
    assert (outcome.exit_code, outcome.stderr) == (0, "")
    assert outcome.stdout.startswith("data: nothing wrong was found")


def test_errors_exit_with_one_and_are_told(folder: Path) -> None:
    (folder / "ب" / "copy.png").write_bytes((folder / "ا" / "3.png").read_bytes())
    (folder / "ا" / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\n cut")
    outcome = run(folder, "--no-labels")
    assert outcome.exit_code == 1
    assert outcome.stdout.startswith("data: 2 errors, 0 warnings")
    assert "error    equal images under different labels: 1 set of 2 images" in outcome.stdout
    assert "ا/bad.png: " in outcome.stdout


def test_warnings_alone_exit_with_zero(folder: Path) -> None:
    (folder / "notes.txt").write_text("mine")
    outcome = run(folder, "--no-labels")
    assert outcome.exit_code == 0
    assert "0 errors, 1 warning" in outcome.stdout


def test_json_is_all_that_is_written(folder: Path, tmp_path: Path) -> None:
    (folder / "ب" / "copy.png").write_bytes((folder / "ا" / "3.png").read_bytes())
    outcome = run(folder, "--no-labels", "-f", "json", "--report", tmp_path / "report")
    assert outcome.exit_code == 1
    record = json.loads(outcome.stdout)
    assert [finding["kind"] for finding in record["findings"]] == ["two-labels"]
    assert record == json.loads((tmp_path / "report" / "inspection.json").read_text("utf-8"))
    assert "ا" in outcome.stdout


def test_a_page_can_be_had(folder: Path, tmp_path: Path) -> None:
    outcome = run(folder, "--no-labels", "--report", tmp_path / "page.html")
    assert outcome.exit_code == 0
    assert outcome.stdout.endswith(f"wrote {tmp_path / 'page.html'}\n")
    assert (tmp_path / "page.html").read_text("utf-8").startswith("<!doctype html>")


def test_labels_are_checked_where_the_extra_is_installed(folder: Path) -> None:
    pytest.importorskip("cleanlab", reason="needs the extra 'doctor'")
    (folder / "ا" / "2.png").rename(folder / "ب" / "wrong.png")
    outcome = run(folder, "-f", "json", "--sample", "20")
    record = json.loads(outcome.stdout)
    assert record["label_check"]["of"] == 24
    assert 18 <= record["label_check"]["judged"] <= 22
    assert outcome.exit_code == 0


def test_without_the_extra_the_data_is_not_even_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cleanlab", None)
    outcome = run("nothing-here")
    assert isinstance(outcome.exception, MissingExtraError)
    assert outcome.exception.exit_code == 2
    assert isinstance(run("nothing-here", "--no-labels").exception, KalamosError)


@pytest.mark.parametrize("arguments", [["-f", "xml"], ["--sample", "0"], ["--most", "-1"], ["--typo"]])
def test_wrong_usage_exits_with_two(arguments: list[str]) -> None:
    assert run("mnist", *arguments).exit_code == 2
