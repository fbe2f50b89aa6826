from __future__ import annotations

import shutil
import subprocess

import pytest

from kalamos.cli import VERBS
from kalamos.writers import FORMATS
from kalamos.zoo import names


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_is_one_that_the_shell_takes(command, shell: str) -> None:
    outcome = command("completion", shell)
    assert outcome.code == 0
    assert f"_KALAMOS_COMPLETE={shell}_complete" in outcome.out.decode()
    if shutil.which(shell):
        options = ["--no-execute"] if shell == "fish" else ["-n"]
        subprocess.run([shell, *options], input=outcome.out, check=True, timeout=20)


def test_the_help_has_a_line_for_each_shell(command) -> None:
    lines = [line.split() for line in command("completion", "--help").rows]
    for shell in ("bash", "zsh", "fish"):
        assert [line for line in lines if line[:4] == [f"{shell}:", "kalamos", "completion", shell]]
    assert "\\b" not in command("completion", "--help").out.decode()


def test_another_shell(command) -> None:
    outcome = command("completion", "tcsh")
    assert outcome.code == 2
    assert "'tcsh' is not one of 'bash', 'zsh', 'fish'" in outcome.err


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("kalamos ", [f"plain,{verb}" for verb in VERBS]),
        ("kalamos pr", ["plain,predict"]),
        ("kalamos predict -m d", [f"plain,{name}" for name in names() if name.startswith("d")]),
        ("kalamos predict -m run", ["file,run"]),
        ("kalamos predict -f ", [f"plain,{name}" for name in FORMATS]),
        ("kalamos predict -f js", ["plain,json", "plain,jsonl"]),
        ("kalamos predict sam", ["file,sam"]),
        ("kalamos predict --min", ["plain,--min-confidence"]),
        ("kalamos models ", [f"plain,{name}" for name in names()]),
        ("kalamos evaluate digits mn", ["plain,mnist"]),
        ("kalamos train mn", ["plain,mnist"]),
        ("kalamos completion f", ["plain,fish"]),
        ("kalamos predct z", [""]),
    ],
)
def test_tab(command, monkeypatch: pytest.MonkeyPatch, line: str, offered: list[str]) -> None:
    monkeypatch.setenv("_KALAMOS_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", line)
    monkeypatch.setenv("COMP_CWORD", str(len(line.split(" ")) - 1))
    outcome = command()
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.rows == offered


def test_tab_knows_the_architectures(command, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch", reason="needs the extra 'train'")
    from kalamos.architectures import ARCHITECTURES

    monkeypatch.setenv("_KALAMOS_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", "kalamos train --arch ")
    monkeypatch.setenv("COMP_CWORD", "3")
    assert command().rows == [f"plain,{name}" for name in ARCHITECTURES.names()]
