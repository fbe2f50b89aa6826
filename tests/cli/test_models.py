from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from kalamos.cli import VERBS
from kalamos.cli.models import lay_out_card
from kalamos.model_file import read_spec
from kalamos.writers import FORMATS
from kalamos.zoo import model_path, names


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
        ("kalamos predict --min", ["plain,--min-confidence", "plain,--min-known"]),
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
    from kalamos.learn.models import ARCHITECTURES

    monkeypatch.setenv("_KALAMOS_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", "kalamos train --arch ")
    monkeypatch.setenv("COMP_CWORD", "3")
    assert command().rows == [f"plain,{name}" for name in ARCHITECTURES.names()]


def test_the_list_has_a_line_for_each_model(command) -> None:
    outcome = command("models")
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.rows[0].split()[:4] == ["model", "reads", "parameters", "size"]
    listed = [row.split()[0] for row in outcome.rows[1:] if not row.startswith(" ")]
    assert listed == [*names(), "glyphs"]
    assert "\x1b" not in outcome.out.decode()


@pytest.mark.parametrize("name", names())
def test_one_model_is_its_card_for_a_terminal_by_name_or_file(
    command, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    spec = read_spec(model_path(name))
    outcome = command("models", name)
    assert (outcome.code, outcome.err) == (0, "")
    text = outcome.out.decode()
    assert outcome.rows[0] == name
    assert [row for row in outcome.rows if len(row) > 80] == []
    assert not set(text) & set("{}|*#`"), "neither JSON nor Markdown"
    assert not re.search("[0-9a-f]{64}", text)
    for metric in spec.metrics:
        assert f"{metric.accuracy:.2%}" in text
    for label in spec.alphabet.labels:
        assert label in text
    assert command("models", model_path(name)).rows[:-1] == outcome.rows[:-1]


def test_all_that_a_model_says_of_itself_is_there_as_json(command) -> None:
    outcome = command("models", "digits", "--json")
    assert (outcome.code, outcome.err) == (0, "")
    assert json.loads(outcome.out) == json.loads(read_spec(model_path("digits")).to_json())
    assert command("models", "--json").code == 2


def test_a_long_table_stands_side_by_side_on_a_wide_terminal() -> None:
    rows = "".join(f"| kind_{i:02} | {i} |\n" for i in range(20))
    card = f"# m\n\n| | n |\n|---|---|\n{rows}"
    wide, narrow = lay_out_card(card, 80).splitlines(), lay_out_card(card, 20).splitlines()
    assert len(wide) < len(narrow) == 2 + 21
    assert all(f"kind_{i:02}" in "\n".join(wide) for i in range(20))


def test_no_such_model(command, samples: Path) -> None:
    assert command("models", "digit") == (
        2,
        b"",
        "kalamos: no model is called 'digit'; did you mean 'digits'?\n",
    )
    outcome = command("models", samples / "0-pen.png")
    assert outcome.code == 2
    assert "a PNG image, not an ONNX model" in outcome.err
