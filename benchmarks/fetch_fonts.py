"""Get the fonts of recipes/handwriting-fonts.txt, one folder a family, for `kalamos data render`.

    .venv/bin/python benchmarks/fetch_fonts.py build/fonts

One `npm install` of exact versions, which npm checks against the registry's checksums; no script of a package
runs. Of each package the regular weight of the listed script is kept, and its licence.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from kalamos.datasets.render import ListedFont, read_list
from kalamos.errors import KalamosError

LIST = Path(__file__).parents[1] / "recipes" / "handwriting-fonts.txt"
LICENCES = {"OFL-1.1", "Apache-2.0", "MIT AND OFL-1.1"}
"""Free to use, change and draw with; the MIT part is the code around a font."""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--list", type=Path, default=LIST)
    asked = parser.parse_args()
    npm = shutil.which("npm")
    if npm is None:
        sys.exit("npm is not installed here")
    if asked.folder.exists():
        sys.exit(f"{asked.folder}: is there already; move it away to get the fonts anew")
    asked.folder.parent.mkdir(parents=True, exist_ok=True)
    listed = read_list(asked.list)
    with tempfile.TemporaryDirectory(dir=asked.folder.parent) as place:
        work = Path(place)
        wanted = {"private": True, "dependencies": {one.package: one.version for one in listed}}
        (work / "package.json").write_text(json.dumps(wanted), "utf-8")
        install = [npm, "install", "--ignore-scripts", "--no-package-lock", "--no-audit", "--no-fund"]
        subprocess.run(install, cwd=work, check=True)
        for one in listed:
            take(one, work / "node_modules" / one.package, work / "fonts" / one.family)
        (work / "fonts").rename(asked.folder)
    print(f"{len(listed)} fonts: {asked.folder}")


def take(one: ListedFont, package: Path, family: Path) -> None:
    licence = json.loads((package / "package.json").read_text("utf-8")).get("license")
    if licence not in LICENCES:
        sys.exit(f"{one.package}: its licence is {licence!r}, not one of {', '.join(sorted(LICENCES))}")
    files = regular(one, package)
    if not files:
        sys.exit(f"{one.package}: no regular weight for {one.script} in it")
    family.mkdir(parents=True)
    for file in (*files, *package.glob("LICENSE*")):
        shutil.copy(file, family)


def regular(one: ListedFont, package: Path) -> list[Path]:
    """By script, as most are packed; else the one file for all scripts, variable or not."""
    patterns = (f"files/*-{one.script}-400-normal.woff2", "files/*-wght-normal.woff2", "400Regular/*.ttf")
    return next((found for pattern in patterns if (found := sorted(package.glob(pattern)))), [])


if __name__ == "__main__":
    try:
        main()
    except KalamosError as error:
        sys.exit(str(error))
