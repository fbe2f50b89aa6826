from __future__ import annotations

import pytest

from kalamos.datasets import SkippedFile
from kalamos.doctor.files import check_files


@pytest.mark.parametrize(
    ("where", "kind"),
    [
        ("7/scan.png", "unreadable"),
        ("7/SCAN.JPG", "unreadable"),
        (r"'7/caf\udce9.png'", "unreadable"),
        ("labels.csv:12", "unreadable"),
        ("README.md", "foreign"),
        ("7", "foreign"),
    ],
)
def test_lost_images_are_told_from_other_files(where: str, kind: str) -> None:
    found = check_files([SkippedFile(where, "as it is")])
    assert [(one.kind, [case.what for case in one.cases]) for one in found if one.cases] == [
        (kind, [f"{where}: as it is"])
    ]


def test_a_name_stays_on_its_line() -> None:
    [finding] = [one for one in check_files([SkippedFile("a\nb\x1b[31m.png", "bad")]) if one.cases]
    assert finding.cases[0].what == r"a\nb\x1b[31m.png: bad"
