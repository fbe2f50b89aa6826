from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import kalamos
from kalamos.inputs import NamedImage
from kalamos.isolation import pool as processes
from kalamos.parallel import (
    BRIEF_SECONDS,
    BYTES_AHEAD_PER_WORKER,
    CHUNKS_AHEAD_PER_WORKER,
    GRACE_IMAGES,
    GilGate,
    default_jobs,
    on_one_blas_thread,
    ordered_map,
)
from kalamos.predictions import Prediction

SAMPLES = sorted(path for path in Path("samples").iterdir() if path.suffix in {".png", ".jpg"})
ITEMS = [
    *(NamedImage(f"x.zip/{turn}/{path.name}", path.read_bytes()) for turn in range(30) for path in SAMPLES),
    "absent.png",
]


def same(some: list[Prediction], others: list[Prediction]) -> bool:
    return [(repr(each), each.top) for each in some] == [(repr(each), each.top) for each in others]


def test_the_rows_are_the_same_bit_for_bit_on_any_number_of_threads() -> None:
    reader = kalamos.load("digits")
    one, three = (list(reader.predict_files(ITEMS, charset="1 4 7", jobs=jobs)) for jobs in (1, 3))
    assert same(one, three)
    assert one[-1].error is not None


def squares(values: list[int]) -> list[int]:
    return [value * value for value in values]


def worker_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("kalamos_")]


@given(st.integers(0, 60), st.integers(1, 9), st.integers(1, 4))
def test_results_come_complete_and_in_order(count: int, chunk: int, jobs: int) -> None:
    assert list(ordered_map(squares, range(count), chunk=chunk, jobs=jobs)) == squares([*range(count)])


def test_the_order_holds_when_later_chunks_are_ready_first() -> None:
    def slowly(values: list[int]) -> list[int]:
        time.sleep(0.02 if values[0] % 8 == 0 else 0)
        return values

    assert list(ordered_map(slowly, range(100), chunk=4, jobs=8)) == list(range(100))


def test_chunks_are_worked_on_side_by_side() -> None:
    together = threading.Barrier(3, timeout=10)

    def meet(values: list[int]) -> list[int]:
        together.wait()  # breaks unless three are here at once
        return values

    assert list(ordered_map(meet, range(6), chunk=1, jobs=3)) == list(range(6))


def test_results_may_be_more_or_fewer_than_items() -> None:
    assert list(ordered_map(lambda values: values * 2, range(4), chunk=2, jobs=2)) == [0, 1, 0, 1, 2, 3, 2, 3]
    assert list(ordered_map(lambda values: values[:1], range(4), chunk=2, jobs=2)) == [0, 2]


@pytest.mark.parametrize(
    ("jobs", "most"), [(1, 10), (2, 10 * 2 * CHUNKS_AHEAD_PER_WORKER), (4, 10 * 4 * CHUNKS_AHEAD_PER_WORKER)]
)
def test_the_source_is_not_read_far_ahead(jobs: int, most: int) -> None:
    taken = 0

    def source() -> Iterator[int]:
        nonlocal taken
        while True:
            taken += 1
            yield taken

    results = ordered_map(squares, source(), chunk=10, jobs=jobs)
    assert taken == 0, "a generator does nothing before it is asked"
    for given_out in range(1, 500):
        next(results)
        assert taken - given_out <= most


@pytest.mark.parametrize(("count", "jobs"), [(100, 1), (9, 4), (0, 4)])
def test_one_job_or_a_single_chunk_starts_no_thread(count: int, jobs: int) -> None:
    workers = set()

    def work(values: list[int]) -> list[int]:
        workers.add(threading.current_thread())
        return values

    assert list(ordered_map(work, range(count), chunk=10, jobs=jobs)) == list(range(count))
    assert workers <= {threading.main_thread()}


@pytest.mark.parametrize("jobs", [1, 3])
def test_an_exception_of_the_function_comes_through_and_ends_it(jobs: int) -> None:
    done = []

    def work(values: list[int]) -> list[int]:
        if 50 in values:
            raise ZeroDivisionError
        done.append(values)
        return values

    results = ordered_map(work, range(10_000), chunk=10, jobs=jobs)
    assert list(islice(results, 50)) == list(range(50))
    with pytest.raises(ZeroDivisionError):
        next(results)
    assert len(done) < 100, "it went on after the exception"
    assert worker_threads() == []


def test_an_exception_of_the_source_comes_through() -> None:
    def source() -> Iterator[int]:
        yield from range(95)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        list(ordered_map(squares, source(), chunk=10, jobs=2))
    assert worker_threads() == []


def test_leaving_early_stops_the_threads() -> None:
    stopping, begun, steps = threading.Event(), threading.Event(), 0

    def work(values: list[int]) -> list[int]:
        nonlocal steps
        if values[0] == 0:
            return values
        begun.set()
        for _ in range(1000):  # ten seconds, if nobody tells it to stop
            if stopping.is_set():
                return []
            steps += 1
            time.sleep(0.01)
        return values

    results = ordered_map(work, range(1000), chunk=10, jobs=2, stopping=stopping)
    next(results)
    assert begun.wait(10)
    assert not stopping.is_set()
    results.close()  # type: ignore[attr-defined]
    assert worker_threads() == []
    assert steps < 500


def test_stopping_is_not_told_while_all_goes_well() -> None:
    stopping = threading.Event()
    told = []

    def work(values: list[int]) -> list[int]:
        told.append(stopping.is_set())
        return values

    list(ordered_map(work, range(100), chunk=10, jobs=2, stopping=stopping))
    assert told == [False] * 10


def test_brief_work_goes_one_thread_at_a_time() -> None:
    gate, inside, most = GilGate(), 0, 0

    def brief() -> None:
        nonlocal inside, most
        for _ in range(20):
            with gate.take():  # no image is reported, so none was long
                inside += 1
                most = max(most, inside)
                time.sleep(0.0005)
                inside -= 1

    threads = [threading.Thread(target=brief) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1


def test_long_work_runs_side_by_side_as_soon_as_it_proves_long() -> None:
    gate, together = GilGate(), threading.Barrier(3, timeout=10)
    late = 2 * (GRACE_IMAGES + 1) * BRIEF_SECONDS

    def long() -> None:
        with gate.take() as done:
            time.sleep(late)
            done()  # whoever came first gives its turn up here, not at its end
            together.wait()  # breaks unless three are in here at once

    threads = [threading.Thread(target=long) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not together.broken


def test_the_gate_is_left_after_an_exception() -> None:
    gate = GilGate()
    with pytest.raises(ZeroDivisionError), gate.take():
        raise ZeroDivisionError
    entered = []

    def enter() -> None:
        with gate.take():
            entered.append(True)

    thread = threading.Thread(target=enter, daemon=True)
    thread.start()
    thread.join(timeout=5)
    assert entered == [True]


def test_the_default_is_what_this_process_may_use() -> None:
    assert 1 <= default_jobs() <= (os.cpu_count() or 1)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system cannot limit a process so")
def test_the_default_heeds_a_limit() -> None:
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(before)})
        assert default_jobs() == 1
    finally:
        os.sched_setaffinity(0, before)


@pytest.mark.parametrize(
    ("files", "share"),
    [
        ({"cpu.max": "150000 100000\n"}, 1.5),
        ({"cpu.max": "max 100000\n"}, float("inf")),
        ({"cpu/cpu.cfs_quota_us": "50000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 0.5),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, float("inf")),
        ({"cpu.max": "50000 0\n"}, float("inf")),
        ({"cpu.max": ""}, float("inf")),
        ({}, float("inf")),
    ],
)
def test_a_container_s_share_of_the_processors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: dict[str, str], share: float
) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert processes._time_share(tmp_path) == share
    monkeypatch.setattr(processes, "_time_share", lambda root: share)
    assert default_jobs() >= 1
    if share <= 1:
        assert default_jobs() == 1


def test_few_large_items_are_under_way() -> None:
    taken, each = 0, BYTES_AHEAD_PER_WORKER // 2

    def source() -> Iterator[int]:
        nonlocal taken
        while True:
            taken += 1
            yield taken

    results = ordered_map(squares, source(), chunk=1, jobs=2, nbytes=lambda item: each)
    for given_out in range(1, 50):
        assert next(results) == given_out**2
        # Two that the start looks at, or what the bytes allow and the one that goes beyond it.
        assert taken - given_out <= 2 * BYTES_AHEAD_PER_WORKER // each
    results.close()  # type: ignore[attr-defined]


def test_an_item_larger_than_all_that_may_be_held_comes_through() -> None:
    results = ordered_map(
        squares, range(20), chunk=1, jobs=2, nbytes=lambda item: 10 * BYTES_AHEAD_PER_WORKER
    )
    assert list(results) == squares([*range(20)])


def test_a_large_item_ends_its_chunk() -> None:
    chunks: list[list[int]] = []

    def note(values: list[int]) -> list[int]:
        chunks.append(values)
        return values

    items = [1, 2, 100, 3, 4, 5, 100, 100, 6]
    assert list(ordered_map(note, items, chunk=3, jobs=1, is_large=lambda value: value == 100)) == items
    assert chunks == [[1, 2, 100], [3, 4, 5], [100], [100], [6]]


def test_two_large_items_are_worked_on_side_by_side() -> None:
    together = threading.Barrier(2, timeout=10)

    def meet(values: list[int]) -> list[int]:
        together.wait()
        return values

    assert list(ordered_map(meet, [1, 2], chunk=64, jobs=2, is_large=lambda value: True)) == [1, 2]


def test_blas_has_one_thread_meanwhile_and_what_it_had_afterwards() -> None:
    from threadpoolctl import threadpool_info, threadpool_limits

    def threads() -> list[int]:
        return [each["num_threads"] for each in threadpool_info() if each["user_api"] == "blas"]

    with threadpool_limits(2, user_api="blas"):
        assert set(threads()) == {2}
        assert set(on_one_blas_thread(threads)()) == {1}
        assert set(threads()) == {2}
