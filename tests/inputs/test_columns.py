from __future__ import annotations

import pytest

from kalamos.errors import UsageError
from kalamos.inputs.columns import IMAGE_COLUMNS, choose_column


@pytest.mark.parametrize("name", sorted(IMAGE_COLUMNS))
def test_known_names_in_any_case(name: str) -> None:
    for given in (name, name.upper(), f" {name} "):
        assert choose_column(["id", given, "label"], None, "x.csv") == 1


def test_the_only_column_whatever_it_is_called() -> None:
    assert choose_column(["x"], None, "x.csv") == 0


def test_the_one_asked_for() -> None:
    assert choose_column(["path", "scan"], "scan", "x.csv") == 1
    assert choose_column(["path", "Scan"], "scan", "x.csv") == 1
    assert choose_column(["Path", "path"], "path", "x.csv") == 1


def test_a_type_tells_where_no_name_does() -> None:
    assert choose_column(["id", "scan", "label"], None, "x.parquet", sure=["scan"]) == 1
    assert choose_column(["id", "scan", "path"], None, "x.parquet", sure=["scan"]) == 2


@pytest.mark.parametrize(
    ("columns", "asked", "told"),
    [
        (["id", "label"], None, "which column has the images is unclear; name it with --column: id, label"),
        (["file", "path"], None, "is unclear; name it with --column: file, path"),
        (["path", "label"], "pth", "no column is called 'pth'; did you mean 'path'?"),
        (["path", "label"], "xyzzy", "choose from: label, path"),
        (["path", "path"], "path", "2 columns are called 'path'"),
        (["path", "path"], None, "is unclear"),
        ([f"c{index}" for index in range(500)], None, "c19, and 480 more"),
        (["a\x1b[31m", "b"], None, r"'a\x1b[31m', b"),
        ([], "path", "no column is called 'path'"),
    ],
)
def test_what_cannot_be_told_is_told_with_the_columns(
    columns: list[str], asked: str | None, told: str
) -> None:
    with pytest.raises(UsageError) as caught:
        choose_column(columns, asked, "x.csv")
    assert told in str(caught.value)
    assert str(caught.value).startswith("x.csv: ")
    assert str(caught.value).isprintable()
