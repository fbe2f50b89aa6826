from __future__ import annotations

from pathlib import Path

from kalamos.zoo import model_path, names
from kalamos.zoo.card import render_card


def test_the_list_has_a_line_for_each_model(command) -> None:
    outcome = command("models")
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.rows[0].split()[:4] == ["model", "reads", "parameters", "size"]
    assert [row.split()[0] for row in outcome.rows[1:] if not row.startswith(" ")] == list(names())
    assert "\x1b" not in outcome.out.decode()


def test_one_model_is_its_card_by_name_or_file(command) -> None:
    card = render_card(model_path("digits")).encode()
    assert command("models", "digits") == (0, card, "")
    assert command("models", model_path("digits")) == (0, card, "")


def test_no_such_model(command, samples: Path) -> None:
    assert command("models", "digit") == (
        2,
        b"",
        "kalamos: no model is called 'digit'; did you mean 'digits'?\n",
    )
    outcome = command("models", samples / "0-pen.png")
    assert outcome.code == 2
    assert "a PNG image, not an ONNX model" in outcome.err
