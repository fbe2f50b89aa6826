from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from kalamos.app.app_folder import FOLDER_PREFIX, app_folder, sweep_app_folders

HOLD = """
import sys
from kalamos.app.app_folder import app_folder
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
