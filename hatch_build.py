"""What hatchling asks while it builds: addresses for an index's page, and the list of what is in the wheel.

A package index shows README.md without the repository around it, so its pictures and links have to be whole
addresses. Where the repository lies is known to whoever releases: `KALAMOS_REPOSITORY` says it, as
`.github/workflows/release.yml` sets it. Without it nothing is changed. An sdist keeps what it was built with,
so that the wheel that is built from it is the same.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tempfile
import uuid
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from hatchling.metadata.plugin.interface import MetadataHookInterface

REPOSITORY_VARIABLE = "KALAMOS_REPOSITORY"
"""The environment variable with the address of the repository, such as https://github.com/OWNER/NAME."""

SBOM_NAME = "kalamos.cdx.json"

PICTURES = (".png", ".jpg", ".svg")

_LINK = re.compile(r'(?P<before>\]\(|\ssrc=")(?![a-z]+:|#)(?P<path>[^)"#\s]+)')
_LICENCE = re.compile(r"^- \*\*Licence\*\*: (\S+)$", re.MULTILINE)
_REQUIREMENT = re.compile(r"(?P<name>[A-Za-z0-9._-]+)(?P<extras>\[[^]]*\])?(?P<versions>[^;]*)")


class MetadataHook(MetadataHookInterface):
    """Sets `readme` and `urls`, which pyproject.toml declares dynamic."""

    PLUGIN_NAME = "custom"

    def update(self, metadata: dict[str, Any]) -> None:
        """Add the fields that the sdist does not have already."""
        repository = os.environ.get(REPOSITORY_VARIABLE, "").rstrip("/")
        if "readme" not in metadata:
            text = (Path(self.root) / "README.md").read_text(encoding="utf-8")
            if repository:
                text = with_whole_addresses(text, repository, f"v{metadata['version']}")
            metadata["readme"] = {"content-type": "text/markdown", "text": text}
        if "urls" not in metadata:
            metadata["urls"] = project_urls(repository) if repository else {}


def project_urls(repository: str) -> dict[str, str]:
    """Return the links that an index shows beside the package, by their well-known names."""
    return {
        "Homepage": repository,
        "Source": repository,
        "Documentation": f"{repository}/tree/main/docs",
        "Changelog": f"{repository}/blob/main/CHANGELOG.md",
        "Issues": f"{repository}/issues",
        "Security": f"{repository}/security/policy",
    }


def with_whole_addresses(text: str, repository: str, tag: str) -> str:
    """Return Markdown whose relative links and pictures are whole addresses of a release's files."""

    def whole(found: re.Match[str]) -> str:
        kind = "raw" if found["path"].endswith(PICTURES) else "blob"
        return f"{found['before']}{repository}/{kind}/{tag}/{found['path']}"

    return _LINK.sub(whole, text)


class BuildHook(BuildHookInterface[Any]):
    """Puts an SBOM into the wheel (PEP 770): kalamos, its models, and the libraries that it asks for."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Write the SBOM where hatchling takes it from."""
        self._folder = None
        if self.target_name != "wheel" or version == "editable":
            return
        self._folder = tempfile.mkdtemp(prefix="kalamos-sbom-")
        path = Path(self._folder) / SBOM_NAME
        core = self.metadata.core
        sbom = bill_of_materials(
            Path(self.root) / "src", self.metadata.version, core.dependencies, core.optional_dependencies
        )
        path.write_text(json.dumps(sbom, indent=1, sort_keys=True) + "\n", encoding="utf-8", newline="\n")
        build_data["sbom_files"].append(str(path))

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:  # noqa: ARG002
        """Delete what was written."""
        if self._folder is not None:
            shutil.rmtree(self._folder)


def bill_of_materials(
    source: Path, version: str, required: list[str], optional: dict[str, list[str]]
) -> dict[str, Any]:
    """Return a CycloneDX 1.6 document, the same whenever and wherever it is made.

    Args:
        source: the folder with the package.
        version: of kalamos.
        required: requirements of every installation.
        optional: those of the extras; that for developing is left out.
    """
    models = [_model(path, source) for path in sorted(source.glob("kalamos/**/*.onnx"))]
    wanted = {_library(each, "required")["bom-ref"]: _library(each, "required") for each in required}
    for each in sorted({each for extra, names in optional.items() if extra != "dev" for each in names}):
        found = _library(each, "optional")
        if found["name"] != "kalamos":
            wanted.setdefault(found["bom-ref"], found)
    kalamos = f"pkg:pypi/kalamos@{version}"
    content: dict[str, Any] = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "component": {
                "type": "library",
                "bom-ref": kalamos,
                "name": "kalamos",
                "version": version,
                "purl": kalamos,
                "licenses": [{"license": {"id": "Apache-2.0"}}],
            },
            "lifecycles": [{"phase": "build"}],
        },
        "components": [*models, *wanted.values()],
        "dependencies": [
            {"ref": kalamos, "dependsOn": sorted([*wanted, *(each["bom-ref"] for each in models)])}
        ],
    }
    serial = uuid.uuid5(uuid.NAMESPACE_URL, json.dumps(content, sort_keys=True))
    return {**content, "serialNumber": f"urn:uuid:{serial}"}


def _model(path: Path, source: Path) -> dict[str, Any]:
    """Describe one model file of the wheel; its card, where it has one, says the licence."""
    card = path.with_suffix(".md")
    found = _LICENCE.search(card.read_text(encoding="utf-8")) if card.exists() else None
    place = path.relative_to(source).as_posix()
    return {
        "type": "machine-learning-model",
        "bom-ref": place,
        "name": path.stem,
        "description": place,
        "hashes": [{"alg": "SHA-256", "content": hashlib.sha256(path.read_bytes()).hexdigest()}],
        # The ink finder has no card: it is kalamos's own, as the code beside it.
        "licenses": [{"license": {"id": found[1] if found else "Apache-2.0"}}],
    }


def _library(requirement: str, scope: str) -> dict[str, Any]:
    """Describe a library that is asked for, and not in the wheel: any of the versions that it may have."""
    found = _REQUIREMENT.match(requirement)
    assert found is not None, requirement  # noqa: S101  (hatchling has parsed it)
    name = re.sub(r"[-_.]+", "-", found["name"]).lower()
    return {
        "type": "library",
        "bom-ref": f"pkg:pypi/{name}",
        "name": name,
        "purl": f"pkg:pypi/{name}",
        "scope": scope,
        "properties": [{"name": "kalamos:requirement", "value": requirement}],
    }
