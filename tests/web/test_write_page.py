"""The page of a model of one's own, and what is shipped of the page."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from kalamos.cli import cli
from kalamos.errors import KalamosError, ModelFileError
from kalamos.finetune.prototypes import other_characters
from kalamos.web import ASSETS, write_page
from kalamos.zoo import model_path

WEB = Path(__file__).parents[2] / "web"


def test_export_writes_a_folder_and_one_file(tmp_path: Path) -> None:
    done = CliRunner().invoke(cli, ["export", "arabic", "-f", "web", "-o", str(tmp_path / "page")])
    assert done.exit_code == 0, done.output
    page = (tmp_path / "page" / "kalamos.html").read_text("utf-8")
    config = json.loads(re.search(r'id="config">(.*?)</script>', page)[1])  # type: ignore[index]
    assert [model["title"] for model in config["models"]] == ["arabic"]
    assert config["models"][0]["sample"] == "ا ب ت …"
    assert "%" + "SCRIPT%" not in page
    worker = (tmp_path / "page" / "worker.js").read_text("utf-8")
    kept = json.loads(re.search(r"FILES = (\[.*?\]);", worker)[1])  # type: ignore[index]
    assert all((tmp_path / "page" / name).exists() for name in kept)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["digits", "--int8"], "takes the model as it is"),
        (["digits", "--licence", "CC0-1.0"], "takes the model as it is"),
        (["."], "is a run"),
        (["no-such-model"], "no-such-model"),
    ],
)
def test_what_it_cannot_export_is_told(tmp_path: Path, arguments: list[str], says: str) -> None:
    done = CliRunner().invoke(cli, ["export", *arguments, "-f", "web", "-o", str(tmp_path / "page")])
    assert isinstance(done.exception, KalamosError)
    assert says in str(done.exception)
    assert not (tmp_path / "page").exists()


def test_what_is_no_model_makes_no_page(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"no model")
    with pytest.raises(ModelFileError):
        write_page([tmp_path / "model.onnx"], tmp_path / "page")
    assert not (tmp_path / "page").exists()


def test_another_model_is_another_version_for_those_who_keep_the_page(tmp_path: Path) -> None:
    workers = set()
    for name in ("digits", "arabic", "digits"):
        write_page([model_path(name)], tmp_path)
        workers.add((tmp_path / "worker.js").read_text("utf-8"))
    assert len(workers) == 2


def test_what_is_shipped_is_small_and_asks_for_no_other_host() -> None:
    assert sum(path.stat().st_size for path in ASSETS.iterdir() if path.is_file()) <= 5_000_000
    page = (ASSETS / "page.html").read_text("utf-8")
    assert set(re.findall(r"https?://[^'\"\s]+", page)) <= {"http://www.w3.org/2000/svg"}


def test_what_is_shipped_was_built_from_the_sources() -> None:
    names = ["package-lock.json", "page.css", "page.html", "worker.js"]
    names += [f"src/{path.name}" for path in (WEB / "src").iterdir()]
    digest = hashlib.sha256()
    for name in sorted(names):
        digest.update(name.encode())
        digest.update((WEB / name).read_bytes())
    built = (ASSETS / "sources.sha256").read_text("utf-8").strip()
    assert built == digest.hexdigest(), "run `make web`"


def test_what_it_knows_of_other_alphabets_is_a_part_of_what_teach_knows() -> None:
    packed = (ASSETS / "others.bin").read_bytes()
    scale, rows = np.frombuffer(packed[:4], "<f4")[0], np.frombuffer(packed[4:], np.int8)
    known = other_characters()
    assert len(rows) % known.shape[1] == 0
    embeddings = rows.reshape(-1, known.shape[1]) * scale
    assert len(embeddings) >= 500
    np.testing.assert_allclose(embeddings, known[:: len(known) // len(embeddings)], rtol=1e-6)


def test_the_lockfile_names_no_registry() -> None:
    assert "://" not in re.sub(r'"url": "[^"]+"', "", (WEB / "package-lock.json").read_text("utf-8"))
