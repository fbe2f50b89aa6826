"""The scripts of the site find each other beside themselves; the site is built once for all processes."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from filelock import FileLock

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT / "docs" / "site"))

ADDRESS = "https://docs.example/kalamos/"

collect_ignore_glob = [] if find_spec("zensical") else ["*"]


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site of `make docs`. Read it only."""
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    site = shared / "documentation" / "site"
    site.parent.mkdir(exist_ok=True)
    with FileLock(shared / "documentation.lock"):
        if not site.exists():
            command = [sys.executable, "docs/site/build.py", "-o", str(site)]
            environment = {**os.environ, "KALAMOS_DOCS_URL": ADDRESS}
            environment.pop("KALAMOS_REPOSITORY", None)
            done = subprocess.run(
                command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=600
            )
            assert done.returncode == 0, done.stdout + done.stderr
    return site
