from __future__ import annotations

import pytest

import kalamos
from kalamos.cli import VERBS


def test_help_names_every_verb(command) -> None:
    outcome = command("--help")
    assert outcome.code == 0
    listed = [row.split()[0] for row in outcome.rows[outcome.rows.index("Commands:") + 1 :] if row]
    assert listed[: len(VERBS)] == list(VERBS)
    assert "Exit status: 0 all images read, 1 some not, 2 wrong usage, 130 ended by" in outcome.out.decode()


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("option", ["-h", "--help"])
def test_every_verb_explains_itself(command, verb: str, option: str) -> None:
    outcome = command(verb, option)
    assert outcome.code == 0
    assert outcome.rows[0].startswith(f"Usage: kalamos {verb} ")
    assert max(map(len, outcome.rows)) <= 100


def test_the_version(command) -> None:
    assert command("--version") == (0, f"kalamos {kalamos.__version__}\n".encode(), "")


def test_nothing_asked_is_wrong_usage_with_help(command) -> None:
    for arguments in ((), ("predict",), ("train",), ("export",), ("evaluate",)):
        outcome = command(*arguments)
        assert outcome.code == 2
        assert "Usage: kalamos" in outcome.err


def test_a_misspelt_verb(command) -> None:
    outcome = command("predct", "a.png")
    assert outcome.code == 2
    assert "unknown command 'predct'; did you mean 'predict'?" in outcome.err
