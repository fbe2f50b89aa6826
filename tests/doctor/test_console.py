from __future__ import annotations

import io
from dataclasses import replace

from rich.console import Console

from kalamos.datasets import Dataset, SkippedFile, Split
from kalamos.doctor import inspect
from kalamos.doctor.console import print_diagnosis


def told(dataset: Dataset, *, most: int = 3) -> list[str]:
    stream = io.StringIO()
    print_diagnosis(Console(file=stream, width=60), inspect(dataset, labels=False), most=most)
    return stream.getvalue().splitlines()


def test_nothing_wrong_is_a_line_and_the_measures_follow(clean: Dataset) -> None:
    lines = told(clean)
    assert lines[0] == "clean: nothing wrong was found   (drawn by program)"
    assert [line.split()[0] for line in lines[2:]] == ["images", "classes", "sizes", "polarity", "labels"]
    assert lines[2] == "images   208   (train 160, test 48)"
    assert lines[3] == "classes  4, of 52 images; largest / smallest 1.0"
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
