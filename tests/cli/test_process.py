"""`kalamos predict` as a process: exit statuses, pipes, signals, terminals, locales."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

KALAMOS = [sys.executable, "-m", "kalamos"]


@contextmanager
def interruptible() -> Iterator[None]:
    """Ctrl-C reaches a process started in here, even where the tests run in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def test_exit_statuses_and_streams(process, samples: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    read = process("predict", samples / "0-pen.png", "-f", "ascii")
    assert read.code == 0
    assert read.out == f"48, {(samples / '0-pen.png').as_posix()}\n".encode()
    assert read.err.startswith("1 image: 1 read")
    some = process("predict", samples, "-q")
    assert (some.code, some.out.count(b"\n"), some.err) == (1, 11, "")
    one_file = process(
        "predict", samples, capture_output=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    assert one_file.out.startswith(os.fsencode(samples)), "the summary came before the rows"
    assert one_file.rows[11].startswith("11 images: ")
    assert process("predict", tmp_path / "empty").code == 2
    assert process("predict", samples, "--no-such-option").code == 2


def test_a_reader_that_has_enough_ends_it_quietly(hundreds: Path) -> None:
    with subprocess.Popen(
        [*KALAMOS, "predict", hundreds], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as run:
        assert run.stdout is not None
        assert run.stderr is not None
        run.stdout.close()
        err = run.stderr.read().decode()
    assert run.returncode != 0
    assert err == ""


def test_a_full_disk_under_standard_output(process, samples: Path) -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("this system has no /dev/full")
    with full.open("wb") as sink:
        outcome = process("predict", samples, stdout=sink, stderr=subprocess.PIPE, capture_output=False)
    assert outcome.code == 2
    assert outcome.err == "kalamos: cannot write to standard output: No space left on device\n"


def test_closed_streams_are_no_error(samples: Path, tmp_path: Path) -> None:
    # As under a daemon. Python has None where its standard streams should be.
    target = tmp_path / "rows.csv"
    command = [*KALAMOS, "predict", samples / "0-pen.png"]
    shell = ["sh", "-c", '"$@" >&- 2>&-', "sh", *command, "-o", target]
    assert subprocess.run(shell, check=False).returncode == 0
    assert target.read_text().count("\n") == 2
    wrong = subprocess.run(
        ["sh", "-c", '"$@" 2>&-', "sh", *command, "-f", "none"], check=False, stdout=subprocess.PIPE
    )
    assert (wrong.returncode, wrong.stdout) == (2, b"")


@pytest.mark.parametrize("asked_to_end", [signal.SIGINT, signal.SIGTERM])
def test_one_asked_to_end_keeps_the_old_output(
    endless: Path, tmp_path: Path, terminal, asked_to_end: signal.Signals
) -> None:
    target = tmp_path / "rows.csv"
    target.write_bytes(b"old")
    with interruptible():
        run = subprocess.Popen(
            [*KALAMOS, "predict", endless, "-o", target],
            stderr=terminal.theirs,
            env={**os.environ, "TERM": "xterm"},
        )
    terminal.read_until(r"\d images")  # the bar shows that it is at work
    assert any(path.suffix == ".tmp" for path in tmp_path.iterdir())
    asked = time.monotonic()
    run.send_signal(asked_to_end)
    assert run.wait(timeout=30) == 128 + asked_to_end
    assert time.monotonic() - asked < 5
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]
    shown = terminal.read_to_end()
    assert "Traceback" not in shown
    assert re.sub(r"\x1b\[[?\d]*\w", "", shown).splitlines()[-1].strip() == "", "it does not end quietly"
    assert shown.rindex("\x1b[?25h") > shown.rindex("\x1b[?25l"), "the cursor stays hidden"


def test_ctrl_c_while_it_waits_for_standard_input() -> None:
    with interruptible():
        run = subprocess.Popen(
            [*KALAMOS, "predict", "-"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
    with run:
        assert run.stdin is not None
        run.stdin.write(b"none.png\n")
        run.stdin.flush()
        time.sleep(1.5)
        run.send_signal(signal.SIGINT)
        assert run.wait(timeout=10) == 130
        assert run.stdout is not None
        assert run.stderr is not None
        assert (run.stdout.read(), run.stderr.read()) == (b"", b"")


@pytest.mark.parametrize(
    ("producer", "names"),
    [
        ("find . -name '*.png' | sort", ["./a b.png", "./sub/c.png"]),
        ("find . -name '*.png' -print0 | sort -z", ["./a b.png", "./sub/c.png"]),
        ("tar c 'a b.png' sub notes.txt", ["stdin/a b.png", "stdin/sub/c.png"]),
        ("tar cz 'a b.png' sub", ["stdin/a b.png", "stdin/sub/c.png"]),
        ("cat 'a b.png'", ["stdin"]),
        ("cat sub/c.png; true", ["stdin"]),
    ],
)
def test_pipes(tmp_path: Path, one: bytes, producer: str, names: list[str]) -> None:
    (tmp_path / "sub").mkdir()
    for name in ("a b.png", "sub/c.png"):
        (tmp_path / name).write_bytes(one)
    (tmp_path / "notes.txt").write_text("x")
    command = f'set -o pipefail; ( {producer} ) | "$0" -m kalamos predict - -f ascii'
    done = subprocess.run(
        ["bash", "-c", command, sys.executable], cwd=tmp_path, capture_output=True, check=False, timeout=60
    )
    assert done.stdout.decode().splitlines() == [f"49, {name}" for name in names]
    assert done.returncode == 0
    assert (b"skipped 1 file without an image extension" in done.stderr) == ("notes.txt" in producer)


def test_a_killed_run_keeps_the_old_output(endless: Path, tmp_path: Path) -> None:
    target = tmp_path / "rows.csv"
    target.write_bytes(b"old")
    run = subprocess.Popen([*KALAMOS, "predict", endless, "-o", target, "-q"])
    end = time.monotonic() + 30
    while not any(path.suffix == ".tmp" for path in tmp_path.iterdir()):
        assert time.monotonic() < end
        time.sleep(0.02)
    run.kill()
    assert run.wait() == -signal.SIGKILL
    assert target.read_bytes() == b"old"


def test_a_terminal_shows_rows_then_the_summary(samples: Path, terminal) -> None:
    run = subprocess.Popen([*KALAMOS, "predict", samples], stdout=terminal.theirs, stderr=terminal.theirs)
    terminal.read_until(r"images/s\r\n")
    assert run.wait(timeout=30) == 1
    text = terminal.read_to_end().replace("\r\n", "\n")
    lines = text.replace(f"{samples.as_posix()}/", "").splitlines()  # which may have spaces
    assert [line[0] for line in lines[:11]] == [*"0123456789", "b"]
    assert [line.split()[1] for line in lines[:10]] == [*"0123456789"]
    assert lines[11].startswith("11 images: ")
    assert "\x1b" not in terminal.text


@pytest.mark.skipif(
    not sys.prefix.isascii(), reason="Python itself does not start in the C locale from such a folder"
)
def test_arabic_paths_in_the_c_locale(process, tmp_path: Path, one: bytes) -> None:
    folder = tmp_path / "صور"
    folder.mkdir()
    (folder / "واحد.png").write_bytes(one)
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("LC_", "PYTHON"))}
    for kind in ("ascii", "csv"):
        outcome = process("predict", folder, "-f", kind, env={**environment, "LANG": "C", "LC_ALL": "C"})
        assert outcome.code == 0
        assert f"{folder.as_posix()}/واحد.png".encode() in outcome.out
