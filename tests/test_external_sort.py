from __future__ import annotations

import tempfile
import tracemalloc
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kalamos import external_sort
from kalamos.external_sort import externally_sorted


@pytest.fixture(autouse=True)
def _short_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(external_sort, "RUN", 7)
    monkeypatch.setattr(external_sort, "BLOCK", 3)


def lower(name: str) -> str:
    return name.lower()


@given(st.lists(st.text(st.characters(codec=None), max_size=4), max_size=60))
def test_the_order_is_that_of_sorted(names: list[str]) -> None:
    # Equal keys stay in the order in which they came; lone surrogates are what undecodable names hold.
    assert list(externally_sorted(iter(names), key=lower)) == sorted(names, key=lower)


def test_without_a_place_for_temporary_files_memory_has_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_place() -> None:
        raise FileNotFoundError("No usable temporary directory found")

    monkeypatch.setattr(tempfile, "TemporaryFile", no_place)
    assert list(externally_sorted(range(50, 0, -1), key=int)) == list(range(1, 51))


def test_a_full_disk_is_no_reason_to_fail_either(monkeypatch: pytest.MonkeyPatch) -> None:
    closed = []

    class Full:
        def write(self, _: bytes) -> int:
            raise OSError(28, "No space left on device")

        def close(self) -> None:
            closed.append(self)
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(tempfile, "TemporaryFile", Full)
    assert list(externally_sorted(range(50, 0, -1), key=int)) == list(range(1, 51))
    assert len(closed) == 7


def test_memory_does_not_grow_with_the_items(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(external_sort, "RUN", 1_000)
    monkeypatch.setattr(external_sort, "BLOCK", 100)

    def peak(count: int) -> int:
        tracemalloc.start()
        try:
            names: Iterator[str] = (f"{7919 * number % count:08d}.png" for number in range(count))
            assert sum(1 for _ in externally_sorted(names, key=lower)) == count
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    # A list of the strings alone would take seven times as much.
    assert peak(40_000) - peak(2_000) < 400_000
