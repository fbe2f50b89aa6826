"""`kalamos app` as a command: what it refuses before it listens. What it serves is tested in tests/app."""

from __future__ import annotations

import socket
from importlib.util import find_spec
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(not find_spec("fastapi"), reason="needs the extra 'app'")


def test_a_port_in_use(command) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        outcome = command("app", "--api-only", "--port", str(port))
    assert outcome.code == 2
    assert outcome.err.startswith(f"kalamos: port {port} of 127.0.0.1 is in use; ")
    assert "--port" in outcome.err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["-m", "digit"], "did you mean 'digits'?"),
        (["-m", "no-such.onnx"], "no such model file"),
        (["--host", "203.0.113.7", "--port", "0"], "cannot listen on 203.0.113.7"),
        (["--port", "70000"], "70000"),
        (["--queue", "0"], "queue"),
        (["--max-upload-mb", "0"], "max-upload-mb"),
        (["--timeout", "nan"], "seconds = nan"),
        (["--max-upload-mb", "inf"], "max-upload-mb"),
        (["--forms", "no-such-folder"], "no-such-folder: is no folder of forms"),
        (["--allow-origin", "*"], "'*' is no origin of one site"),
        (["--token-file", "no-such-file"], "no-such-file: the tokens cannot be read"),
    ],
)
def test_what_cannot_be_is_refused_at_once(command, arguments: list[str], told: str) -> None:
    outcome = command("app", "--api-only", *arguments)
    assert outcome.code == 2
    assert told in outcome.err
    assert "Traceback" not in outcome.err


def test_a_token_needs_the_api_alone(command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KALAMOS_TOKEN", "a-token-of-some-length")
    outcome = command("app")
    assert outcome.code == 2
    assert "a browser sends none; add --api-only" in outcome.err
    monkeypatch.setenv("KALAMOS_TOKEN", "too-short")
    outcome = command("app", "--api-only")
    assert (outcome.code, "too-short" in outcome.err) == (2, False)
    assert "fewer than 16 characters" in outcome.err


def test_a_model_that_is_none(command, tmp_path: Path) -> None:
    (tmp_path / "bad.onnx").write_bytes(b"no model")
    outcome = command("app", "--api-only", "-m", tmp_path / "bad.onnx")
    assert outcome.code == 2
    assert "bad.onnx" in outcome.err


@pytest.mark.parametrize(("arguments", "extra"), [([], "app"), (["--api-only"], "api")])
def test_without_its_extra(
    command, monkeypatch: pytest.MonkeyPatch, arguments: list[str], extra: str
) -> None:
    monkeypatch.setattr("kalamos.errors.find_spec", lambda name: None)
    outcome = command("app", *arguments)
    assert outcome.code == 2
    assert f"pip install 'kalamos[{extra}]'" in outcome.err


@pytest.mark.parametrize(
    ("host", "names", "expected"),
    [
        ("127.0.0.1", (), {"localhost", "127.0.0.1", "::1"}),
        ("127.0.0.9", (), {"localhost", "127.0.0.1", "::1", "127.0.0.9"}),
        ("localhost", (), {"localhost", "127.0.0.1", "::1"}),
        ("0.0.0.0", (), None),  # noqa: S104
        ("::", (), None),
        ("0.0.0.0", ("Digits.example",), {"localhost", "127.0.0.1", "::1", "0.0.0.0", "digits.example"}),  # noqa: S104
    ],
)
def test_names_it_may_be_called_by(host: str, names: tuple[str, ...], expected: set[str] | None) -> None:
    from kalamos.cli.app import _hosts

    assert _hosts(host, names) == expected


@pytest.mark.parametrize(
    ("host", "arguments", "local", "takes_models"),
    [
        ("127.0.0.1", [], True, True),
        ("127.0.0.1", ["--no-model-upload"], True, False),
        ("127.0.0.1", ["--allow-host", "digits.example"], False, False),
        ("127.0.0.1", ["--allow-host", "digits.example", "--allow-model-upload"], False, True),
        ("0.0.0.0", [], False, False),  # noqa: S104
        ("0.0.0.0", ["--allow-model-upload"], False, True),  # noqa: S104
    ],
)
def test_model_files_of_visitors_are_taken_on_this_computer_alone_unless_asked_for(
    command,
    monkeypatch: pytest.MonkeyPatch,
    host: str,
    arguments: list[str],
    *,
    local: bool,
    takes_models: bool,
) -> None:
    told = []

    def note(*_: object, local: bool, model_upload: bool) -> None:
        told.append((local, model_upload))
        raise KeyboardInterrupt

    monkeypatch.setattr("kalamos.cli.app._build_page", note)
    command("app", "--host", host, "--port", "0", "-m", "digits", *arguments)
    assert told == [(local, takes_models)]
