"""What the worker processes of pytest-xdist make once for all, and in what order they run the tests."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

TESTS = Path(__file__).parent


def compile_a_share(config: pytest.Config) -> None:
    """Compile every n-th test module where there are n workers, so that each finds what the others compiled.

    Each worker imports all modules, and rewriting their assertions takes as long as importing them. Nothing
    is done without workers, or where Python may not write bytecode.
    """
    given = getattr(config, "workerinput", None)
    if given is None or sys.dont_write_bytecode:
        return
    try:  # pytest has no public names for these; without them each worker compiles everything for itself
        from _pytest.assertion.rewrite import (
            PYC_TAIL,
            _read_pyc,
            _rewrite_test,
            _write_pyc,
            assertstate_key,
            get_cache_dir,
        )  # fmt: skip
    except ImportError:
        return
    index, count = int(given["workerid"].removeprefix("gw")), given["workercount"]
    modules = sorted(TESTS.rglob("test_*.py"), key=lambda path: (path.stat().st_size, path))
    for module in modules[index::count]:
        compiled = get_cache_dir(module) / f"{module.stem}{PYC_TAIL}"
        if _read_pyc(module, compiled) is None:
            compiled.parent.mkdir(parents=True, exist_ok=True)
            source_hash, code = _rewrite_test(module, config)
            _write_pyc(config.stash[assertstate_key], code, source_hash, compiled)


def begin_with_long_ones(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Put tests that are marked `long` before the others, in each worker's share of all.

    One that is begun late runs for a minute when all others are over, and the other processors idle.
    """
    count = getattr(config, "workerinput", {}).get("workercount", 1)
    if count == 1:
        return
    long = [item for item in items if item.get_closest_marker("long")]
    others = [item for item in reversed(items) if not item.get_closest_marker("long")]
    if len(long) > len(others):
        return
    ordered: list[pytest.Item] = []
    for index in range(count):  # as `--dist worksteal` cuts it: what remains, by the workers that remain
        size = (len(items) - len(ordered)) // (count - index)
        first = long[index::count]
        ordered += first
        ordered += [others.pop() for _ in range(size - len(first))]
    items[:] = ordered


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], None]) -> Path:
    """A folder that one worker makes, under a lock, and all read.

    Args:
        name: of the folder, which nothing else has.
        make: called with the empty folder. Where it raises, the next worker that asks calls its own.
    """
    from filelock import FileLock

    shared = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent  # each worker has a folder of its own in it
    folder = shared / "made-once" / name
    finished = folder.with_name(f"{name}.finished")
    folder.parent.mkdir(exist_ok=True)
    with FileLock(folder.with_name(f"{name}.lock")):
        if not finished.exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            make(folder)
            finished.touch()
    return folder
