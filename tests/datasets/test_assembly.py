from __future__ import annotations

from collections.abc import Callable

import pytest

from kalamos.datasets.assembly import decode_members
from kalamos.errors import DatasetError


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


def test_nothing_to_decode_is_nothing() -> None:
    images, kept, problems = decode_members(lambda name: b"", [])
    assert (len(images), kept.tolist(), problems) == (0, [], ())
