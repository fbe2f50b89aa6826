"""The wheel and the sdist: what is in them, that they can be built again, and what an index shows of them."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from email import message_from_bytes
from email.message import Message
from pathlib import Path

import pytest
import yaml

import kalamos

ROOT = Path(__file__).parents[2]
REPOSITORY = "https://code.example/owner/name"


def build(source: Path, target: Path, kind: str, **variables: str) -> Path:
    """Build one distribution; returns its file."""
    environment = {name: value for name, value in os.environ.items() if name != "KALAMOS_REPOSITORY"}
    done = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--target", kind, "--directory", target],
        cwd=source, env=environment | variables, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    [made] = target.glob("*.whl" if kind == "wheel" else "*.tar.gz")
    return made


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As a release makes it: with the repository's address."""
    return build(ROOT, tmp_path_factory.mktemp("sdist"), "sdist", KALAMOS_REPOSITORY=REPOSITORY)


@pytest.fixture(scope="module")
def unpacked(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("unpacked")
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    [found] = folder.iterdir()
    return found


@pytest.fixture(scope="module")
def wheel(unpacked: Path, tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """Built from the sdist, where nobody says the repository's address again."""
    return zipfile.ZipFile(build(unpacked, tmp_path_factory.mktemp("wheel"), "wheel"))


def metadata(wheel: zipfile.ZipFile) -> Message:
    return message_from_bytes(wheel.read(f"kalamos-{kalamos.__version__}.dist-info/METADATA"))


def test_the_sdist_builds_the_same_wheel_as_the_tree_bit_by_bit(unpacked: Path, tmp_path: Path) -> None:
    epoch = {"SOURCE_DATE_EPOCH": "1700000000"}
    told = build(ROOT, tmp_path / "tree", "wheel", KALAMOS_REPOSITORY=REPOSITORY, **epoch)
    again = build(unpacked, tmp_path / "sdist", "wheel", **epoch)
    assert told.name == again.name
    assert told.read_bytes() == again.read_bytes()
    with zipfile.ZipFile(told) as archive:
        assert {each.date_time[:3] for each in archive.infolist()} == {(2023, 11, 14)}


def test_the_wheel_has_models_cards_and_licence_and_no_tests(wheel: zipfile.ZipFile) -> None:
    names = set(wheel.namelist())
    source = ROOT / "src"
    wanted = {
        path.relative_to(source).as_posix()
        for path in source.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert {name for name in wanted if name.endswith(".onnx")} > {"kalamos/zoo/digits.onnx"}
    assert {"kalamos/zoo/digits.md", "kalamos/preprocessing/ink.onnx", "kalamos/py.typed"} <= wanted
    information = f"kalamos-{kalamos.__version__}.dist-info"
    assert {name for name in names if not name.startswith(information)} == wanted
    licence = wheel.read(f"{information}/licenses/LICENSE")
    assert licence == (ROOT / "LICENSE").read_bytes()
    assert not [name for name in names if re.search(r"(^|/)(tests?|conftest)[/.]", name)]


def test_the_sdist_has_all_that_its_tests_and_files_need(unpacked: Path) -> None:
    known = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if known.returncode:
        pytest.skip("not a clone")
    tracked = {Path(name).parts[0] for name in known.stdout.splitlines()}
    left_out = {
        ".ci",
        ".github",
        ".gitignore",
        ".gitattributes",
        ".pre-commit-config.yaml",
        "checkpoints",
        "web",
    }
    assert tracked - {path.name for path in unpacked.iterdir()} <= left_out


def test_what_an_index_shows_has_whole_addresses_that_exist_here(wheel: zipfile.ZipFile) -> None:
    page = metadata(wheel)
    assert page["Description-Content-Type"] == "text/markdown"
    text = page.get_payload()
    assert isinstance(text, str)
    addresses = re.findall(r'\]\(([^)\s]+)\)|src="([^"]+)"', text)
    found = [address for pair in addresses for address in pair if address]
    assert len(found) > 30
    assert [address for address in found if not re.match(r"https?://|#", address)] == []
    pictures = f"{REPOSITORY}/raw/v{kalamos.__version__}/"
    files = f"{REPOSITORY}/blob/v{kalamos.__version__}/"
    ours = [address for address in found if address.startswith(REPOSITORY)]
    assert f"{pictures}docs/images/form.png" in ours
    for address in ours:
        path = address.removeprefix(pictures).removeprefix(files).partition("#")[0]
        assert (ROOT / path).exists(), address
        assert address.startswith(pictures) == path.endswith((".png", ".jpg", ".svg"))


def test_the_links_beside_it(wheel: zipfile.ZipFile, tmp_path: Path) -> None:
    links = dict(each.split(", ", 1) for each in metadata(wheel).get_all("Project-URL", ()))
    assert links["Source"] == REPOSITORY
    assert set(links) >= {"Homepage", "Documentation", "Changelog", "Issues"}
    local = zipfile.ZipFile(build(ROOT, tmp_path, "wheel"))
    assert metadata(local).get_all("Project-URL") is None, "nobody has said where the repository is"
    text = metadata(local).get_payload()
    assert "](docs/images/form.png)" in text


def test_the_bill_of_materials_says_what_is_in_the_wheel(wheel: zipfile.ZipFile) -> None:
    path = f"kalamos-{kalamos.__version__}.dist-info/sboms/kalamos.cdx.json"
    document = json.loads(wheel.read(path))
    assert (document["bomFormat"], document["specVersion"]) == ("CycloneDX", "1.6")
    assert document["metadata"]["component"]["version"] == kalamos.__version__
    assert "timestamp" not in document["metadata"], "the wheel is the same whenever it is built"
    parts = {each["bom-ref"]: each for each in document["components"]}
    models = {name for name in wheel.namelist() if name.endswith(".onnx")}
    assert {ref for ref, each in parts.items() if each["type"] == "machine-learning-model"} == models
    for name in models:
        assert parts[name]["hashes"][0]["content"] == hashlib.sha256(wheel.read(name)).hexdigest()
        assert parts[name]["licenses"][0]["license"]["id"] == "Apache-2.0"
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    required = {re.split("[<>=]", each)[0] for each in project["dependencies"]}
    assert {each["name"] for each in parts.values() if each.get("scope") == "required"} == required
    assert "prometheus-client" in {each["name"] for each in parts.values() if each.get("scope") == "optional"}
    [kalamos_needs] = document["dependencies"]
    assert set(kalamos_needs["dependsOn"]) == set(parts)


def test_the_release_is_tried_where_it_is_said_to_run() -> None:
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "release.yml").read_text(encoding="utf-8"))
    matrix = workflow["jobs"]["try"]["strategy"]["matrix"]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    versions = re.findall(r"Python :: (3\.\d+)", "\n".join(project["classifiers"]))
    assert matrix["python"] == versions
    assert project["requires-python"] == f">={versions[0]}"
    assert matrix["os"] == ["ubuntu-latest", "macos-latest", "windows-latest"]
    page = (ROOT / "docs" / "install.md").read_text(encoding="utf-8")
    assert f"Python {versions[0]} to {versions[-1]}" in page
    attesting = workflow["jobs"]["attest"]
    assert attesting["permissions"] == {"id-token": "write", "attestations": "write"}
    assert workflow["permissions"] == {}
    used = re.findall(r"uses: (\S+)", (ROOT / ".github" / "workflows" / "release.yml").read_text("utf-8"))
    assert [each for each in used if not re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", each)] == []


def test_the_citation_is_of_this_version() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["cff-version"] == "1.2.0"
    assert (citation["version"], citation["license"]) == (kalamos.__version__, "Apache-2.0")
    assert {"message", "title", "authors", "type"} <= set(citation)


@pytest.mark.skipif(
    not os.environ.get("KALAMOS_REQUIRE_REGISTRY"),
    reason="fetches packages; .ci/run sets KALAMOS_REQUIRE_REGISTRY",
)
def test_it_runs_without_being_installed(unpacked: Path) -> None:
    """`uvx --from . kalamos predict samples`; one of the samples is blank: status 1."""
    uv = shutil.which("uv", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    assert uv is not None
    done = subprocess.run(
        [uv, "tool", "run", "--python", sys.executable, "--from", ".", "kalamos", "predict", "samples"],
        cwd=unpacked, env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    assert " 1 failed" in done.stderr
    assert "samples/0-pen.png" in done.stdout
