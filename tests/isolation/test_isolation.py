"""Workers die, hang and swell; the caller gets typed errors, and the next call works."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kalamos.errors import CorruptImageError, ImageTimeoutError, ImageTooLargeError, NoInkError
from kalamos.isolation import iterate_isolated
from kalamos.isolation.worker import call_once


def run_isolated(function: Callable[..., Any], *args: Any, where: str, **limits: Any) -> Any:
    [result] = iterate_isolated(call_once, function, *args, where=where, **limits)
    return result


def double(values: np.ndarray) -> np.ndarray:
    return values * 2


def crash() -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def refuse() -> None:
    raise NoInkError("x.png: no ink", remedy="write something")


def fail() -> None:
    raise ZeroDivisionError


def swell(size: int) -> int:
    return len(bytearray(size))


def wait(seconds: float) -> None:
    time.sleep(seconds)


def work(seconds: float) -> None:
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


def chatter() -> str:
    os.write(2, b"libpng error: no\n")
    os.write(1, b"noise\n")
    return "done"


def count(upto: int) -> Iterator[int]:
    for number in range(upto):
        if number == 3:
            raise CorruptImageError("x: broken off")
        yield number


def processor_limits(items: int) -> Iterator[int]:
    import resource

    for _ in range(items):
        yield resource.getrlimit(resource.RLIMIT_CPU)[0]
        work(1.1)


def own_pid() -> int:
    return os.getpid()


def test_large_arrays_come_back_whole() -> None:
    values = np.arange(3_000_000, dtype=np.int64).reshape(1000, 3000)
    assert np.array_equal(run_isolated(double, values, where="x"), values * 2)


def test_a_worker_is_used_again_and_replaced_when_it_dies() -> None:
    first = run_isolated(own_pid, where="x")
    assert run_isolated(own_pid, where="x") == first != os.getpid()
    with pytest.raises(CorruptImageError, match=r"a\.png: it is damaged: the decoder crashed"):
        run_isolated(crash, where="a.png")
    assert run_isolated(own_pid, where="x") != first


def test_errors_of_kalamos_pass_and_others_are_typed() -> None:
    with pytest.raises(NoInkError, match=r"x\.png: no ink; write something"):
        run_isolated(refuse, where="x")
    with pytest.raises(CorruptImageError, match=r"b\.png: it is damaged"):
        run_isolated(fail, where="b.png")


@pytest.mark.skipif(
    sys.platform != "linux", reason="elsewhere resident memory is looked at, and zeros take none"
)
def test_memory_is_limited() -> None:
    assert run_isolated(swell, 100 * 2**20, where="x") == 100 * 2**20
    with pytest.raises(ImageTooLargeError, match=r"big\.tif: too large to decode here"):
        run_isolated(swell, 2 * 2**30, where="big.tif")
    assert run_isolated(swell, 10, where="x") == 10


def test_time_is_limited() -> None:
    start = time.monotonic()
    with pytest.raises(ImageTimeoutError, match=r"slow.jpg: decoding it takes too long \(the limit is 0.3 s"):
        run_isolated(wait, 60, where="slow.jpg", timeout=0.3)
    assert time.monotonic() - start < 10


@pytest.mark.skipif(sys.platform != "linux", reason="processor time is looked at on Linux alone")
def test_small_input_has_less_time() -> None:
    with pytest.raises(ImageTimeoutError):
        run_isolated(work, 20, where="small.jpg", timeout=60, size=1000)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such limit")
def test_each_item_has_the_whole_processor_time_again() -> None:
    first, *_, last = iterate_isolated(processor_limits, 4, where="x", timeout=30)
    assert first < last


def test_stopping_ends_a_call() -> None:
    stopping = threading.Event()
    threading.Timer(0.2, stopping.set).start()
    start = time.monotonic()
    with pytest.raises(ImageTimeoutError, match="interrupted"):
        run_isolated(wait, 60, where="x", stopping=stopping)
    assert time.monotonic() - start < 10


class Harm:
    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, ("made-by-an-answer",)


def answer_with_harm() -> Harm:
    return Harm()


def test_an_answer_runs_nothing_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that has taken a worker over could answer anything."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CorruptImageError, match=r"evil\.tif: it is damaged"):
        run_isolated(answer_with_harm, where="evil.tif")
    assert list(tmp_path.iterdir()) == []


def test_what_libraries_print_goes_nowhere(capfd: pytest.CaptureFixture[str]) -> None:
    assert run_isolated(chatter, where="x") == "done"
    assert capfd.readouterr() == ("", "")


def test_items_come_one_by_one_until_the_error() -> None:
    got = []
    with pytest.raises(CorruptImageError, match="broken off"):
        got.extend(iterate_isolated(count, 10, where="x"))
    assert list(iterate_isolated(count, 2, where="x")) == [0, 1]


def test_items_before_an_error_are_kept_and_the_consumer_may_take_its_time() -> None:
    got = []

    def consume() -> None:
        for item in iterate_isolated(count, 10, where="x", timeout=0.3):
            time.sleep(0.2 if item else 0.6)
            got.append(item)

    with pytest.raises(CorruptImageError):
        consume()
    assert got == [0, 1, 2]


def test_leaving_early_leaves_no_busy_worker() -> None:
    items = iterate_isolated(count, 2, where="x")
    assert next(items) == 0
    items.close()
    assert list(iterate_isolated(count, 1, where="x")) == [0]


def test_threads_share_the_workers() -> None:
    answers: list[str] = []
    threads = [
        threading.Thread(target=lambda: answers.append(run_isolated(chatter, where="x"))) for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == ["done"] * 6


SCRIPT = """
import sys, time
from kalamos.isolation import iterate_isolated
print(*(item for _, item in iterate_isolated(enumerate, ["plain"], where="x")))
{rest}
"""


def run_script(tmp_path: Path, rest: str = "") -> subprocess.Popen[str]:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT.format(rest=rest))
    return subprocess.Popen(
        [sys.executable, script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def test_a_plain_script_needs_no_main_guard(tmp_path: Path) -> None:
    process = run_script(tmp_path)
    assert process.communicate(timeout=60) == ("plain\n", "")


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
def test_workers_end_with_their_parent(tmp_path: Path, end: int) -> None:
    rest = "from kalamos.isolation.pool import worker_pool as p\n"
    rest += "print(next(iter(p._all)).pid, flush=True)\ntime.sleep(60)"
    process = run_script(tmp_path, rest)
    assert process.stdout is not None
    process.stdout.readline()
    worker = int(process.stdout.readline())
    process.send_signal(end)
    process.communicate(timeout=30)
    end_by = time.monotonic() + 10
    while Path(f"/proc/{worker}").exists() and time.monotonic() < end_by:
        time.sleep(0.05)
    assert not Path(f"/proc/{worker}").exists()
