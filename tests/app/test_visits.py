from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from kalamos.app.errors import APIError
from kalamos.app.visits import (
    FILE_OVERHEAD_BYTES,
    FOLDER_PREFIX,
    MAX_PAGES_PER_VISIT,
    MIN_EMPTY_VISIT_SECONDS,
    ByteCount,
    HeldBytes,
    StoredFile,
    Visit,
    VisitLimits,
    Visits,
    app_folder,
    new_token,
    sweep_app_folders,
)

HOLD = """
import sys
from kalamos.app.visits import app_folder
with app_folder() as folder:
    (folder / "upload").write_bytes(b"7")
    print(folder, flush=True)
    sys.stdin.read()
"""


@contextmanager
def holder(parent: Path) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """Another process with a folder of its own in `parent`."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD],
        env={**os.environ, "TMPDIR": str(parent), "TEMP": str(parent)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as run:
        try:
            assert run.stdout is not None
            yield run, Path(run.stdout.readline().strip())
        finally:
            run.kill()


@pytest.fixture
def parent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path.resolve()


def test_it_goes_with_all_that_is_in_it_whatever_ends_the_block(parent: Path) -> None:
    def interrupted() -> None:
        with app_folder() as folder:
            (folder / "a").mkdir()
            (folder / "a" / "b").write_bytes(b"7")
            assert folder.parent == parent
            assert folder.stat().st_mode & 0o077 == 0 or os.name == "nt"
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert list(parent.iterdir()) == []


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
def test_what_a_killed_one_left_goes_and_a_living_ones_stays(parent: Path) -> None:
    with holder(parent) as (killed, left), holder(parent) as (living, used):
        killed.send_signal(signal.SIGKILL)
        killed.wait(30)
        assert (left / "upload").exists()
        with app_folder() as mine:
            assert not left.exists()
            assert (used / "upload").exists()
            # Nor does one take another's of its own process.
            assert sweep_app_folders(parent) == []
            assert mine.exists()
        assert living.stdin is not None
        living.stdin.close()
        living.wait(30)
        assert not used.exists()


def test_what_no_app_made_is_left_alone(parent: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """A folder without a lock, a file, links to a folder and to a lock."""
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / ".lock").write_bytes(b"")
    (parent / f"{FOLDER_PREFIX}notes").mkdir()
    (parent / f"{FOLDER_PREFIX}notes" / "thesis.txt").write_text("mine")
    (parent / f"{FOLDER_PREFIX}file").write_text("mine")
    (parent / "other").mkdir()
    (parent / "other" / ".lock").write_bytes(b"")
    if os.name != "nt":
        (parent / f"{FOLDER_PREFIX}link").symlink_to(elsewhere)
        (parent / f"{FOLDER_PREFIX}locklink").mkdir()
        (parent / f"{FOLDER_PREFIX}locklink" / ".lock").symlink_to(elsewhere / ".lock")
    before = sorted(path.name for path in parent.rglob("*"))
    assert sweep_app_folders(parent) == []
    assert sorted(path.name for path in parent.rglob("*")) == before
    assert (elsewhere / ".lock").exists()


def test_what_another_user_owns_is_left_alone(parent: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not hasattr(os, "getuid"):
        pytest.skip("this system has no user numbers")
    left = parent / f"{FOLDER_PREFIX}theirs"
    left.mkdir()
    (left / ".lock").write_bytes(b"")
    monkeypatch.setattr(os, "getuid", lambda: left.stat().st_uid + 1)
    assert sweep_app_folders(parent) == []
    monkeypatch.undo()
    assert sweep_app_folders(parent) == [left]


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def store(visits: Visits, visit: Visit, name: str, size: int) -> Path:
    folder = visit.folder / "uploads" / name
    folder.mkdir(parents=True)
    path = folder / f"{name}.png"
    path.write_bytes(bytes(size))
    visits.reserve(visit, size + FILE_OVERHEAD_BYTES)
    visit.uploads[str(path)] = StoredFile(path, path.name, size)
    return path


def test_a_look_makes_no_visit_and_an_entry_one(tmp_path: Path) -> None:
    visits, token = Visits(tmp_path), new_token()
    assert visits.find(token) is None
    assert len(visits) == 0
    visit = visits.enter(token)
    assert visits.find(token) is visit
    assert visits.enter(token) is visit
    assert visit.folder.parent == tmp_path.resolve()
    assert token not in visit.folder.name


def test_it_is_over_when_nothing_came_for_so_long_unless_something_is_under_way(
    tmp_path: Path, clock: Clock
) -> None:
    ended: list[Visit] = []
    visits = Visits(tmp_path, VisitLimits(idle_seconds=100), ended=ended.append, clock=clock)
    token = new_token()
    visit = visits.enter(token)
    path = store(visits, visit, "a", 7)
    clock.now = 99
    assert visits.find(token) is visit  # which is a request: it counts anew from here
    clock.now = 198
    visits.sweep()
    assert path.exists()
    visit.busy = 1
    clock.now = 1_000
    visits.sweep()
    assert path.exists()
    visit.busy = 0
    visits.sweep()
    assert not visit.folder.exists()
    assert ended == [visit]
    assert visits.find(token) is None


def test_a_full_house_ends_nobody_but_who_holds_nothing(tmp_path: Path, clock: Clock) -> None:
    visits = Visits(tmp_path, VisitLimits(visits=2, idle_seconds=10_000), clock=clock)
    holding, empty = new_token(), new_token()
    store(visits, visits.enter(holding), "a", 1)
    visits.enter(empty)
    with pytest.raises(APIError) as refusal:
        visits.enter(new_token())
    assert (refusal.value.status, refusal.value.code) == (503, "full")
    clock.now = MIN_EMPTY_VISIT_SECONDS
    visits.enter(new_token())
    assert visits.find(empty) is None
    assert visits.find(holding) is not None


def test_a_visit_over_its_bound_loses_its_own_oldest_files_alone(tmp_path: Path) -> None:
    most = 3 * (1_000 + FILE_OVERHEAD_BYTES)
    visits = Visits(tmp_path, VisitLimits(visit_bytes=most))
    mine, yours = visits.enter(new_token()), visits.enter(new_token())
    foreign = store(visits, yours, "foreign", 1_000)
    paths = [store(visits, mine, name, 1_000) for name in "abcd"]
    assert [path.exists() for path in paths] == [False, True, True, True]
    assert foreign.exists()
    assert mine.held_bytes == most
    with pytest.raises(APIError) as refusal:
        visits.reserve(mine, most + 1)
    assert refusal.value.status == 413


def test_all_visits_together_are_bounded_too(tmp_path: Path) -> None:
    visits = Visits(tmp_path, VisitLimits(visit_bytes=10_000, total_bytes=15_000))
    first, second = visits.enter(new_token()), visits.enter(new_token())
    visits.reserve(first, 10_000)
    with pytest.raises(APIError) as refusal:
        visits.reserve(second, 5_001)
    assert refusal.value.status == 503
    visits.release(first, 10_000)
    visits.reserve(second, 5_001)


@pytest.mark.parametrize(
    "path",
    [
        *(
            None,
            7,
            [],
            {},
            "",
            "a.png",
            "uploads/a/a.png",
            "/etc/passwd",
            "FOLDER",
            "FOLDER/uploads",
            "PATH/..",
        ),
        *("PATH\0", "PATH/../../../../../etc/passwd", "file://PATH", "//PATH/x", "FOLDER/uploads/a/link.png"),
    ],
)
def test_a_path_is_ones_own_or_none(tmp_path: Path, path: object) -> None:
    visits = Visits(tmp_path)
    visit = visits.enter(new_token())
    own = store(visits, visit, "a", 1)
    (tmp_path / "foreign.png").write_bytes(b"")
    (own.parent / "link.png").symlink_to(tmp_path / "foreign.png")
    assert visit.own_path(str(own)) == str(own)
    assert visit.own_path(f"{own.parent}/../a/{own.name}") == str(own)
    if isinstance(path, str):
        path = path.replace("PATH", str(own)).replace("FOLDER", str(visit.folder))
    assert visit.own_path(path) is None


def test_the_same_session_hash_names_two_pages_of_two_visits(tmp_path: Path) -> None:
    visits = Visits(tmp_path)
    mine, yours = visits.enter(new_token()), visits.enter(new_token())
    assert mine.page("a") == mine.page("a")
    assert mine.page("a")[0] != yours.page("a")[0]
    first = mine.page("a")[0]
    displaced = [name for number in range(MAX_PAGES_PER_VISIT) for name in mine.page(f"{number}")[1]]
    assert displaced == [first]


def test_a_dropped_event_is_accounted_for_no_more() -> None:
    count = ByteCount()
    held = HeldBytes([count], 10)
    event = {"held": held}
    del held
    assert count.bytes == 10
    event.clear()
    gc.collect()
    assert count.bytes == 0
