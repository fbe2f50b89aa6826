"""What the child process does with a case of each family. A task's factory loads what it needs, once."""

from __future__ import annotations

import base64
import os
from itertools import islice
from pathlib import Path
from typing import Any

from fuzz.child import Problem, Task, with_timeout, wrong_rows
from fuzz.documents import pages_of, pdf_file

__all__ = ["archives", "documents", "images", "models", "runs", "tables"]

SECONDS = float(os.environ.get("KALAMOS_FUZZ_TIMEOUT", "5"))
"""What kalamos itself is given for one file, where it takes such a limit."""

MOST_ROWS = 1_000
"""Of one container: a table may have any number of rows, and takes its time for them."""

MOST_PAGES = 100
"""Of one document: each page has its own time."""

MORE = ", and more"
"""How an outcome ends where there are others."""

# A PDF of an empty page.
_ONE_PAGE = pdf_file(pages_of(b""))

# GIF of one pixel, APNG of one frame: what a worker process is started for, so that it counts as idle.
_STILL = base64.b64decode("R0lGODlhAQABAIAAAP///wAAACH5BAAAAAAALAAAAAABAAEAAAICRAEAOw==")


def images() -> Task:
    """Read the file by its path, as bytes, and among others."""
    import kalamos

    reader = kalamos.load("digits")
    predict, files = with_timeout(reader.predict, SECONDS), with_timeout(reader.predict_files, SECONDS)
    _warm_up(predict)

    def read(path: Path, notes: dict[str, Any]) -> tuple[str, list[Problem]]:
        if notes.get("stream"):
            rows = list(files([str(path)], jobs=1))
            return _told(rows), wrong_rows(rows, 1)
        row = predict(path)
        return _told([row]), wrong_rows([row], 1)

    return read


def _container(most: int = MOST_ROWS) -> Task:
    import kalamos
    from kalamos.inputs import InputSearch

    reader = kalamos.load("digits")
    _warm_up(with_timeout(reader.predict, SECONDS))
    files = with_timeout(reader.predict_files, SECONDS)

    def read(path: Path, notes: dict[str, Any]) -> tuple[str, list[Problem]]:
        search = InputSearch([str(path)], column=notes.get("column"), timeout=SECONDS)
        found = iter(files(search, jobs=1))
        rows = list(islice(found, most))
        problems = wrong_rows(rows)
        if not rows:
            problems.append(("a row missing", "no row and no error for a whole file"))
        return _told(rows) + (MORE if next(found, None) is not None else ""), problems

    return read


def archives() -> Task:
    """Read what is in it."""
    return _container()


def documents() -> Task:
    """Read its pages."""
    from kalamos.images.documents import read_pages

    list(read_pages(_ONE_PAGE))  # the worker that it starts, and PDFium in it, count as idle
    return _container(MOST_PAGES)


def tables() -> Task:
    """Read what it names or holds."""
    return _container()


def models() -> Task:
    """Open it, read three images with it, look inside, and teach it."""
    import cv2
    import numpy as np

    import kalamos

    page = np.full((60, 60), 255, np.uint8)
    cv2.line(page, (30, 8), (28, 52), 0, 5)
    pages = [page, page.T.copy(), cv2.flip(page, 0)]
    kalamos.load("digits").predict_batch(pages)

    def read(path: Path, notes: dict[str, Any]) -> tuple[str, list[Problem]]:
        reader = kalamos.load(path)
        rows = reader.predict_batch(pages)
        problems = wrong_rows(rows, len(pages))
        if reader.spec.feature_maps:
            reader.feature_maps(page)
        if notes.get("teach"):
            from kalamos.finetune import Examples, fine_tune

            fine_tune(path, Examples.of(pages, ["1", "x", "1"]), holdout=0)
        return _told(rows), problems

    return read


def runs() -> Task:
    """Open a run folder whose `run.json` is the case: as a plan to go on with, as a run, as a model to be."""
    from fuzz.runs import base_folder
    from kalamos.learn.export import from_run
    from kalamos.learn.run import load_config, load_run

    base = base_folder()

    def read(path: Path, notes: dict[str, Any]) -> tuple[str, list[Problem]]:  # noqa: ARG001
        from kalamos.errors import KalamosError

        (base / "run.json").write_bytes(path.read_bytes())
        told = []
        for open_it in (load_config, lambda folder: from_run(load_run(folder), "x").spec.to_json()):
            try:
                open_it(base)
                told.append("opened")
            except KalamosError as error:
                told.append(type(error).__name__)
        return ", ".join(told), []

    return read


def _warm_up(predict: Any) -> None:
    """Read what needs a worker process, where this version of kalamos has such, and what does not."""
    import cv2
    import numpy as np

    page = np.full((60, 40), 255, np.uint8)
    page[10:50, 18:22] = 0
    for suffix in (".png", ".jpg", ".tiff", ".webp", ".bmp"):
        predict(cv2.imencode(suffix, page)[1].tobytes())
    predict(_STILL)


def _told(rows: list[Any]) -> str:
    errors = [type(row.error).__name__ for row in rows if row.error is not None]
    read = len(rows) - len(errors)
    return f"{read} read" if not errors else f"{read} read, {len(errors)} {errors[0]}"
