"""`kalamos read` and `forms read` with `--engine ray`: what the local engine answers, in its order."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import psutil
import pytest
from PIL import Image

from kalamos.cluster.pages import FormWork, PageWork
from kalamos.forms.reader import FormReader
from kalamos.forms.template import FormTemplate
from kalamos.pages.reader import PageReader
from kalamos.predict_options import PredictOptions
from kalamos.recognizer import load
from kalamos.zoo import model_path

FORM = Path("samples-form").absolute()


def drawn(text: str) -> np.ndarray:
    page = np.full((240, 600), 235, np.uint8)
    cv2.putText(page, text, (30, 150), cv2.FONT_HERSHEY_SIMPLEX, 3, 30, 8, cv2.LINE_AA)
    return page


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve files, of which one has two pages and one cannot be read."""
    folder = tmp_path_factory.mktemp("scans")
    for number in range(10):
        cv2.imwrite(str(folder / f"{number:02}.png"), drawn(f"{number * 137 % 10_000:04}"))
    (folder / "10.png").write_bytes(b"no picture")
    one, two = (Image.fromarray(drawn(text)) for text in ("2024", "71"))
    one.save(folder / "11.tif", save_all=True, append_images=[two])
    return folder


def test_a_killed_worker_loses_no_page(cluster, kalamos, environment, scans: Path, tmp_path: Path) -> None:
    here = kalamos("read", scans, "-o", tmp_path / "here.csv")
    run = subprocess.Popen(
        [
            *(sys.executable, "-m", "kalamos", "read", scans, "-o", tmp_path / "there.csv"),
            *("--overlay", tmp_path / "seen", "--engine", "ray", "--address", cluster.address),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
    )
    while run.poll() is None and not list(tmp_path.glob("seen/*.png")):
        time.sleep(0.02)
    killed = [
        process
        for process in psutil.Process(cluster.pid).children(recursive=True)
        if "_read_one" in " ".join(process.cmdline())
    ][:1]
    for process in killed:
        process.kill()
    out, said = run.communicate(timeout=300)
    assert killed, "no worker was at work when the first page had come"
    assert (run.returncode, out) == (here.returncode, b"") == (1, b"")
    assert said.startswith(b"13 pages \xc2\xb7 1 with errors")
    rows = (tmp_path / "there.csv").read_bytes()
    assert rows == (tmp_path / "here.csv").read_bytes()
    assert rows.count(b"11.tif#2") == 2
    assert len(list(tmp_path.glob("seen/*.png"))) == 12


def test_forms_make_the_same_table(cluster, kalamos, tmp_path: Path) -> None:
    shutil.copytree(FORM, tmp_path / "form")
    form, scans = tmp_path / "form/form.toml", tmp_path / "form/scans"
    (scans / "7-broken.png").write_bytes(b"no picture")
    here = kalamos("forms", "read", form, scans, "-o", tmp_path / "here.csv")
    there = kalamos(
        *("forms", "read", form, scans, "-o", tmp_path / "there.csv"),
        *("--engine", "ray", "--address", cluster.address),
    )
    assert (there.returncode, there.stdout) == (here.returncode, here.stdout) == (1, b"")
    assert (tmp_path / "there.csv").read_bytes() == (tmp_path / "here.csv").read_bytes()
    assert len((tmp_path / "here.csv").read_text("utf-8-sig").splitlines()) == 8


def test_a_worker_reads_a_page_as_this_process_does(scans: Path) -> None:
    options = PredictOptions(charset="01234567")
    work = PageWork(model_path("digits").read_bytes(), options, "auto", pictures=False)
    ours, path = PageReader(load("digits"), options), str(scans / "08.png")
    page = work.start()(path)
    assert page.image is None
    assert (page.text, page.model) == (ours.read(path).text, ours.model)
    assert page.text != PageReader(load("digits")).read(path).text
    kept = PageWork(model_path("digits").read_bytes(), options, "auto", pictures=True).start()(path)
    assert kept.image is not None


def test_a_worker_reads_a_form_as_this_process_does() -> None:
    path = str(FORM / "scans/1-scan.jpg")
    form = FormWork(str(FORM / "form.toml"), 0.9, pictures=False).start()(path)
    ours = FormReader(FormTemplate.load(FORM / "form.toml"), certainty=0.9).read(path)
    assert form == ours
    assert form.scans[0].image is None


@pytest.mark.parametrize("verb", [("read",), ("forms", "read", FORM / "form.toml")])
def test_an_address_of_nothing_is_refused(kalamos, verb: tuple[object, ...], tmp_path: Path) -> None:
    arguments = [*verb, FORM / "scans", "-o", tmp_path / "a.csv"]
    for engine, said in (
        ([], "--address is that of a Ray cluster; add --engine ray"),
        (["--engine", "ray"], "no Ray cluster can be reached at 127.0.0.1:1"),
    ):
        done = kalamos(*arguments, *engine, "--address", "127.0.0.1:1")
        assert (done.returncode, done.stdout) == (2, b"")
        assert said in done.stderr.decode()
        assert list(tmp_path.iterdir()) == []


def test_ctrl_c_ends_the_reading_of_pages_and_the_cluster(end_by_ctrl_c, tmp_path: Path) -> None:
    scans, seen = tmp_path / "scans", tmp_path / "seen"
    scans.mkdir()
    for number in range(100):
        cv2.imwrite(str(scans / f"{number}.png"), drawn("2024"))
    end_by_ctrl_c(
        *("read", scans, "-o", tmp_path / "table.csv", "--overlay", seen, "--engine", "ray"),
        under_way=lambda: any(seen.glob("*.png")),
    )
    assert not (tmp_path / "table.csv").exists()
