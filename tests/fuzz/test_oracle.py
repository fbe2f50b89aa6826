"""The fuzzer's judge sees what it is for: planted faults are found, sound answers are not, a run is clean."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from fuzz.case import Case, case_number
from fuzz.memory import has_proc
from fuzz.report import Report, load_case
from fuzz.runner import FILES
from fuzz.watching import ROOT, Child, Limits

pytestmark = pytest.mark.skipif(not has_proc(), reason="the fuzzer watches memory through Linux's /proc")


@pytest.fixture(scope="module")
def child(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Child]:
    limits = Limits(small_seconds=1.5)
    with Child("planted", tmp_path_factory.mktemp("work"), limits, tasks="tests.fuzz.planted") as child:
        yield child


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("dies", "the process died: SIGSEGV"),
        ("exits", "the process died: exit status 3"),
        ("hangs", "too slow"),
        ("works", "too slow"),
        ("eats", "too much memory"),
        ("feeds", "too much memory"),
        ("prints", "text on standard error: libpng warning: of somebody else"),
        ("raises", "untyped error: ZeroDivisionError at planted.py:raises"),
        ("lies", "a confidence that is none"),
        ("loses", "a row missing"),
    ],
)
def test_a_planted_fault_is_found(child: Child, name: str, fault: str) -> None:
    outcome = child.try_case(Case("planted", f"{name}.png", b"x"))
    found = [f"{kind}: {what}" for kind, what in outcome.problems]
    assert any(each.startswith(fault) for each in found), found


@pytest.mark.parametrize("name", ["reads", "refuses"])
def test_what_is_sound_is_not_a_finding(child: Child, name: str) -> None:
    assert child.try_case(Case("planted", f"{name}.png", b"x")).problems == ()


def test_after_a_fault_the_next_case_is_judged_by_itself(child: Child) -> None:
    child.try_case(Case("planted", "dies.png", b"x"))
    assert child.try_case(Case("planted", "reads.png", b"x")).problems == ()


def test_a_finding_is_saved_so_that_it_can_be_tried_again(child: Child, tmp_path: Path) -> None:
    report = Report(tmp_path)
    case = Case("planted", "raises.png", b"x", zeros=5, notes={"stream": True})
    report.add("images", 3, 14, child.try_case(case))
    assert "untyped error" in report.told()
    assert load_case(tmp_path / "images-3-14-raises.png") == case


def test_a_number_draws_the_same_case_in_any_process() -> None:
    code = "from tests.fuzz.test_oracle import drawn; print(*drawn())"
    path = os.pathsep.join([str(ROOT), str(ROOT / "src")])
    environment = os.environ | {"PYTHONPATH": path, "PYTHONHASHSEED": "5"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == drawn()


def drawn() -> list[str]:
    """What stands for some cases of each family."""
    cases = [
        case_number(draw, family, 1, number) for family, draw in sorted(FILES.items()) for number in range(3)
    ]
    return [hashlib.sha256(case.content).hexdigest() for case in cases]


def test_a_short_run_finds_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "fuzz", "--seed", "19", "--cases", "12", "--folder", str(tmp_path)]
    families = [part for family in ("images", "archives", "tables", "models") for part in ("--only", family)]
    path = os.pathsep.join([str(ROOT / "src"), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [*command, *families],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "no finding" in done.stdout
