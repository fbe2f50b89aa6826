from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest

from kalamos.datasets.assembly import decode_members
from kalamos.errors import DatasetError
from kalamos.images import load_grey
from kalamos.preprocessing import DEFAULT_STEPS, Preprocessor
from kalamos.preprocessing.steps import MAX_WORKING_PIXELS


@pytest.mark.parametrize("jobs", [1, 4])
def test_any_number_of_jobs_keeps_the_order_and_the_problems(png: Callable[..., bytes], jobs: int) -> None:
    files = {f"{i}.png": png(i % 250, 3 + i % 4) if i % 9 else b"nothing" for i in range(300)}

    def read(name: str) -> bytes:
        if name == "7.png":
            raise DatasetError("7.png: lost", remedy="look for it")
        return files[name]

    images, kept, problems = decode_members(read, list(files), jobs=jobs)
    expected = [i for i in range(300) if i % 9 and i != 7]
    assert kept.tolist() == expected
    assert [int(image[0, 0]) for image in images] == [i % 250 for i in expected]
    assert [problem.where for problem in problems] == [f"{i}.png" for i in range(300) if i not in expected]
    assert problems[1].what == "lost; look for it"


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_a_photograph_is_kept_as_small_as_the_steps_look_at_it_and_read_alike(suffix: str) -> None:
    photo = np.full((1800, 2400), 200, np.uint8)
    cv2.ellipse(photo, (1200, 900), (300, 500), 10, 0, 320, 40, 60)
    data = cv2.imencode(suffix, photo)[1].tobytes()
    [kept], _, _ = decode_members(lambda name: data, [f"a{suffix}"])
    assert abs(kept.size - MAX_WORKING_PIXELS) < 1200
    prepare = Preprocessor(DEFAULT_STEPS)
    seen = prepare.image(load_grey(data, min_decode_pixels=prepare.min_decode_pixels))
    assert np.array_equal(prepare.image(kept), seen)


def test_nothing_to_decode_is_nothing() -> None:
    images, kept, problems = decode_members(lambda name: b"", [])
    assert (len(images), kept.tolist(), problems) == (0, [], ())
