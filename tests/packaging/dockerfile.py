"""The Dockerfile, read as far as it goes, and its steps taken without an engine, in folders of their own."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]


class Instruction(NamedTuple):
    word: str
    rest: str


def stages() -> list[list[Instruction]]:
    """The instructions of each stage, continued lines joined; the first list is what stands before them."""
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    text = re.sub(r"^#.*\n", "", text, flags=re.MULTILINE).replace("\\\n", " ")
    found: list[list[Instruction]] = [[]]
    for line in filter(None, map(str.strip, text.splitlines())):
        word, _, rest = line.partition(" ")
        if word == "FROM":
            found.append([])
        found[-1].append(Instruction(word, rest.strip()))
    return found


def values(stage: list[Instruction], word: str) -> list[str]:
    return [each.rest for each in stage if each.word == word]


def variables(stage: list[Instruction]) -> dict[str, str]:
    """What `ENV` sets."""
    pairs = " ".join(values(stage, "ENV")).split()
    return {name: value for name, _, value in (pair.partition("=") for pair in pairs)}


def command(stage: list[Instruction], *words: str) -> list[str]:
    """The lists of `ENTRYPOINT` and `CMD`, one after the other."""
    return [part for word in words for rest in values(stage, word) for part in json.loads(rest)]


def health_command(stage: list[Instruction]) -> list[str]:
    [rest] = values(stage, "HEALTHCHECK")
    found: list[str] = json.loads(rest[rest.index("CMD") + 3 :])
    return found


def take_build_steps(folder: Path) -> Path:
    """Take the steps of the first stage in a folder; returns where `/opt/kalamos` lies.

    The base image's Python is an environment of its own, and its folders lie in `folder`.
    """
    stage = stages()[1]
    image, build, target = folder / "image", folder / "build", folder / "opt" / "kalamos"
    build.mkdir()
    subprocess.run([sys.executable, "-m", "venv", image], check=True)
    defaults = dict(rest.split("=", 1) for rest in values(stage, "ARG"))
    environment = {
        "PATH": f"{image / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "HOME": os.environ.get("HOME", str(folder)),
        **{name: value.strip('"') for name, value in defaults.items()},
        **{name: value for name, value in os.environ.items() if _reaches_a_registry(name)},
    }
    for word, rest in stage:
        if word == "COPY":
            *sources, to = rest.split()
            for source in sources:
                assert is_sent(source), f"{source} is not sent to the builder: .dockerignore"
                _copy(ROOT / source, build / to / Path(source).name if to.endswith("/") else build / to)
        elif word == "RUN":
            # With a cache, which an image should not keep, but which saves the download here.
            told = rest.replace("/opt/kalamos", str(target)).replace("--no-cache ", "")
            done = subprocess.run(
                ["sh", "-c", told], cwd=build, env=environment, capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, f"{rest}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
    return target


def _reaches_a_registry(name: str) -> bool:
    """Whether a variable says how packages are fetched here, as a builder's own settings do there."""
    return name.lower().endswith("_proxy") or name.startswith(("PIP_", "UV_", "SSL_", "REQUESTS_"))


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source, target)


def is_sent(path: str) -> bool:
    """Whether `.dockerignore`, which begins with leaving out everything, takes a path back in."""
    return path in set(ignored_and_sent()[1])


def ignored_and_sent() -> tuple[list[str], list[str]]:
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    return [rule for rule in rules if rule[0] != "!"], [rule[1:] for rule in rules if rule[0] == "!"]


def sealed(arguments: list[str], *, user: int, python: Path, scratch: Path) -> list[str]:
    """A command line that runs another one as a user without a name, where nothing can be written.

    Args:
        arguments: the command.
        user: its number, and its group's.
        python: the folder of the interpreter, which may lie in a home folder that is closed to others.
        scratch: an empty folder.
    """
    script = [
        "set -e",
        "mount --make-rprivate /",
        # The home of root is as empty as an image's, but for the interpreter.
        f"mount --bind {python} {scratch}",
        "mount -t tmpfs -o mode=755 none /root",
        f"mkdir -p {python}",
        *([f"mount --bind {scratch} {python}"] if python.is_relative_to("/root") else []),
        "mount -o remount,ro,bind /root",
        "mount -o remount,ro,bind /",
        f"exec setpriv --reuid {user} --regid {user} --clear-groups "
        '--inh-caps=-all --bounding-set=-all -- "$@"',
    ]
    return ["unshare", "--mount", "sh", "-c", "\n".join(script), "sealed", *arguments]
