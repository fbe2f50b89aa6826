"""Every pinned version has its hashes, all sets have the same versions, and no file names an index."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SETS = (
    "constraints.txt",
    *(f"requirements/{name}.txt" for name in ("build", "reading", "api", "app", "forms", "train")),
)


def pins(name: str) -> dict[str, list[str]]:
    """`name==version ; marker` -> its hashes."""
    text = (ROOT / name).read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [line.split(" --hash=") for line in text.splitlines() if not line.startswith("#")]
    return {pin.strip(): [each.strip() for each in hashes] for pin, *hashes in lines}


def versions(name: str) -> set[str]:
    return {pin.partition(" ;")[0] for pin in pins(name)}


@pytest.mark.parametrize("name", SETS)
def test_every_pin_has_hashes(name: str) -> None:
    found = pins(name)
    assert found
    for pin, hashes in found.items():
        assert re.match(r"[a-z0-9][a-z0-9._-]*==[^ ]+( ; .+)?$", pin), pin
        assert hashes, pin
        assert all(re.fullmatch("sha256:[0-9a-f]{64}", each) for each in hashes), pin


@pytest.mark.parametrize("name", SETS)
def test_no_index_is_named(name: str) -> None:
    assert not re.search(
        "://|--(extra-)?index|--find-links|--trusted", (ROOT / name).read_text(encoding="utf-8")
    )


@pytest.mark.parametrize("name", SETS[2:])
def test_a_part_has_the_versions_of_the_whole(name: str) -> None:
    assert versions(name) <= versions("constraints.txt")


def test_what_builds_is_pinned_and_does_not_contradict_the_rest() -> None:
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    build = versions("requirements/build.txt")
    assert set(pyproject["build-system"]["requires"]) <= build
    assert {"uv", "hatchling", "editables"} <= {pin.partition("==")[0] for pin in build}
    whole = {pin.partition("==")[0]: pin for pin in versions("constraints.txt")}
    assert [pin for pin in build if whole.get(pin.partition("==")[0], pin) != pin] == []


def test_the_reading_half_is_what_the_project_says() -> None:
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    wanted = {re.split("[<>=]", each)[0] for each in pyproject["project"]["dependencies"]}
    assert wanted <= {pin.partition("==")[0] for pin in versions("requirements/reading.txt")}
