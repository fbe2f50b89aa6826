"""`--show DIR`: pictures and their index, for good images and bad ones."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import cv2
import numpy as np
import pytest

from kalamos import load
from kalamos.cli import gallery
from kalamos.cli.gallery import Gallery, picture
from kalamos.errors import OutputError, UsageError
from kalamos.predictions import Candidate, Prediction

Command = Callable[..., Any]


class Index(HTMLParser):
    """What a browser would load and link to, and the text it would show."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.images: list[str] = []
        self.links: list[str] = []
        self.text = ""
        self.feed(page.read_text("utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag == "img":
            self.images.append(unquote(values["src"] or ""))
        elif tag == "a":
            self.links.append(values["href"] or "")

    def handle_data(self, data: str) -> None:
        self.text += data


def save_one(path: Path) -> str:
    page = np.full((120, 90), 220, np.uint8)
    page[15:105, 40:50] = 30
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(cv2.imencode(".png", page)[1].tobytes())
    return str(path)


def test_every_image_has_a_picture_and_a_place_in_the_index(command: Command, tmp_path: Path) -> None:
    save_one(tmp_path / "in" / "a" / "ب <b>&.png")
    save_one(tmp_path / "in" / "b" / "ب <b>&.png")
    (tmp_path / "in" / "bad.png").write_bytes(b"no image")
    blank = np.full((60, 60), 255, np.uint8)
    (tmp_path / "in" / "blank.png").write_bytes(cv2.imencode(".png", blank)[1].tobytes())
    show = tmp_path / "new" / "show"
    outcome = command("predict", tmp_path / "in", "--show", show)
    assert outcome.code == 1
    assert len(outcome.rows) == 4
    index = Index(show / "index.html")
    assert sorted(index.images) == sorted(path.name for path in show.glob("*.png"))
    assert len(set(index.images)) == 4
    assert "in/a/ب <b>&.png" in index.text
    assert "in/b/ب <b>&.png" in index.text
    assert "no ink" in index.text
    assert "this is not an image" in index.text
    good, _, bad, empty = (cv2.imread(str(show / name), cv2.IMREAD_GRAYSCALE) for name in index.images)
    assert good.shape[1] > empty.shape[1] == bad.shape[1]  # all stages, the input alone, none
    assert good.min() == 0


def test_members_of_archives_are_shown(command: Command, tmp_path: Path) -> None:
    content = Path(save_one(tmp_path / "one.png")).read_bytes()
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w:gz") as archive:
        for index in range(200):  # several chunks, so that items wait for their rows
            info = tarfile.TarInfo(f"{index}.png")
            good = index % 100 != 50
            info.size = len(content) if good else 3
            archive.addfile(info, io.BytesIO(content if good else b"bad"))
    (tmp_path / "x.tgz").write_bytes(sink.getvalue())
    show = tmp_path / "show"
    outcome = command("predict", tmp_path / "x.tgz", "--show", show, "--jobs", "2", "-f", "ascii", "-q")
    assert outcome.code == 1
    assert len(outcome.rows) == 200
    first = Index(show / "index.html")
    shapes = [cv2.imread(str(show / name), cv2.IMREAD_GRAYSCALE).shape[1] for name in first.images]
    assert [place for place, width in enumerate(shapes) if width != shapes[0]] == [50]
    assert f"{tmp_path.as_posix()}/x.tgz/99.png" in first.text
    assert first.text.count("this is not an image") == 1


def test_a_folder_that_is_in_use_is_refused_before_anything_is_written(
    command: Command, tmp_path: Path
) -> None:
    image = save_one(tmp_path / "one.png")
    rows = tmp_path / "rows.csv"
    outcome = command("predict", image, "-o", rows, "--show", tmp_path)
    assert outcome.code == 2
    assert "not empty; empty it, or name a new folder after --show" in outcome.err
    assert not rows.exists()
    assert command("predict", image, "--show", image).code == 2
    assert "not a directory" in command("predict", image, "--show", image).err


def test_a_name_that_cannot_be_one_is_told(tmp_path: Path) -> None:
    with pytest.raises((OutputError, UsageError)):
        Gallery(f"{tmp_path}/a\0b", load("digits"))


def test_long_runs_go_over_several_pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gallery, "IMAGES_PER_PAGE", 3)
    image, reader = save_one(tmp_path / "one.png"), load("digits")
    with Gallery(str(tmp_path / "show"), reader) as shown:
        for result in reader.predict_files([image] * 7):
            shown.add(result, image)
    pages = [Index(tmp_path / "show" / name) for name in ("index.html", "index-2.html", "index-3.html")]
    assert [len(page.images) for page in pages] == [3, 3, 1]
    assert [sorted(set(page.links)) for page in pages] == [
        ["index-2.html"],
        ["index-3.html", "index.html"],
        ["index-2.html"],
    ]
    assert len(list((tmp_path / "show").iterdir())) == 7 + 3


def test_an_interrupted_run_leaves_an_index_of_what_it_read(tmp_path: Path) -> None:
    image, reader = save_one(tmp_path / "one.png"), load("digits")
    gallery = Gallery(str(tmp_path / "show"), reader)
    gallery.add(reader.predict(image), image)
    gallery.__exit__(KeyboardInterrupt, KeyboardInterrupt(), None)
    assert len(Index(tmp_path / "show" / "index.html").images) == 1


def test_labels_of_any_script_and_none_are_shown(tmp_path: Path) -> None:
    image, reader = save_one(tmp_path / "one.png"), load("digits")
    abstained = Prediction(None, 0.4, (Candidate("ب", 0.4),), image, None, abstained=True)
    with Gallery(str(tmp_path / "show"), reader) as gallery:
        gallery.add(Prediction("ب", 0.5, (Candidate("ب", 0.5),), image), image)
        gallery.add(Prediction("<", 0.5, (Candidate("<", 0.5),), image), image)
        gallery.add(abstained, image)
    text = Index(tmp_path / "show" / "index.html").text
    assert "ب50.0%" in text
    assert "<50.0%" in text
    assert "no label40.0% for ب" in text


def test_a_picture_of_nothing_is_still_one() -> None:
    assert picture([], "damaged").min() < 128
    sliver = np.full((1, 5000), 9, np.uint8)
    assert picture([("input", sliver), ("centre", sliver.T)], "x").dtype == np.uint8
