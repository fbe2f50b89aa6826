"""Build the documentation site: how-tos, tutorial, reference, explanations, models, benchmarks, a live demo.

Usage: python docs/site/build.py [-o FOLDER]

The pages are those of docs/, the model cards, the notebook, and of docs/site/; docs/site/zensical.toml has
their order. They are put together beside the site, in FOLDER-src. Whatever is amiss fails the build: a
page, an anchor or a picture that does not exist, a page that is in no place of the order.

KALAMOS_DOCS_URL is the address under which the site will be published (https://docs.example/kalamos/), which
llms.txt and search engines need; KALAMOS_REPOSITORY that of the repository: without it, what only
the repository has is named and not linked.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click
import nbformat
from check_links import problems_of
from nbconvert import MarkdownExporter
from page_sources import (
    COMMAND_LINE,
    DEMO,
    NOTEBOOK,
    ROOT,
    LinkError,
    Place,
    Turned,
    files_of,
    include_parts,
    source_of,
    turn_links,
    widen_lists,
)
from pymdownx.slugs import slugify

from kalamos.cli import cli
from kalamos.web import write_page
from kalamos.zoo import model_path

HERE = Path(__file__).parent
CONFIG = HERE / "zensical.toml"
DEMO_MODELS = ("digits", "latin", "arabic")
PREVIEW = "http://127.0.0.1:8000/"
"""Where `python -m http.server --directory build/site` serves it."""


_COLOUR = re.compile(r"\x1b\[[0-9;]*m")

_JUPYTER_ANCHOR = re.compile(r"\]\(#(?P<heading>[^)]+)\)")


class BuildError(Exception):
    """What is amiss, a line each."""


def main() -> int:
    parser = argparse.ArgumentParser(description="Build the documentation's site.")
    parser.add_argument("-o", "--output", type=Path, default=ROOT / "build" / "site", help="[build/site]")
    folder = parser.parse_args().output.resolve()
    try:
        address = os.environ.get("KALAMOS_DOCS_URL") or PREVIEW
        build(folder, f"{address.rstrip('/')}/", os.environ.get("KALAMOS_REPOSITORY", "").rstrip("/"))
    except (BuildError, LinkError) as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{folder}: python -m http.server --directory {os.path.relpath(folder)}")
    return 0


def build(site: Path, address: str, repository: str) -> None:
    """Put the pages together beside the site, build it, add the demo, and follow all links.

    The site that was there stays until the new one is whole.

    Raises:
        BuildError: something is amiss, or the folder holds something else than a site.
        LinkError: a page links to a file that does not exist.
    """
    source = site.with_name(f"{site.name}-src")
    for folder, mark in ((site, "llms.txt"), (source, CONFIG.name)):
        if folder.exists() and not (folder / mark).exists():
            raise BuildError(f"{folder} is there and was not made here; name another folder, or delete it")
    shutil.rmtree(source, ignore_errors=True)
    assemble(source, address, repository)
    done = subprocess.run(
        [sys.executable, "-m", "zensical", "build", "--strict", "--config-file", "zensical.toml"],
        cwd=source, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8",
        env={**os.environ, "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{HERE}"},
    )  # fmt: skip
    # Of docstrings that Griffe cannot take apart Zensical only passes the word on.
    if done.returncode or "griffe: " in done.stdout:
        raise BuildError(_COLOUR.sub("", done.stdout.partition("Traceback")[0]))
    built = source / "site"
    write_page([model_path(name) for name in DEMO_MODELS], built / DEMO)
    problems = problems_of(built, urlsplit(address).path)
    if problems:
        raise BuildError("\n".join(problems))
    shutil.rmtree(site, ignore_errors=True)
    built.rename(site)


def assemble(source: Path, address: str, repository: str) -> None:
    """Write Zensical's configuration and all pages with their links turned."""
    config = CONFIG.read_text("utf-8")
    nav = tomllib.loads(config.replace("LLMSTXT_SECTIONS", ""))["project"]["nav"]
    listed = list(places_in(nav))
    places = {source_of(place.page): place for place in listed if place.page != COMMAND_LINE}
    places["README.md"] = listed[0]
    missing = (files_of("docs") | files_of("src/kalamos/zoo") | files_of("docs/site/reference")) - set(places)
    if missing:
        raise BuildError(f"{CONFIG}: in no place of nav: {', '.join(sorted(missing))}")
    pages = source / "pages"
    pages.mkdir(parents=True)
    (
        source / CONFIG.name
    ).touch()  # the mark by which the next build knows the folder, whatever happens to this
    about = {}
    for page, _ in listed:
        turned = page_of(page, pages, places, repository)
        (pages / page).parent.mkdir(parents=True, exist_ok=True)
        (pages / page).write_text(turned.text, encoding="utf-8")
        about[page] = first_sentence(turned.text)
        for picture in turned.pictures:
            copy = pages / "files" / picture
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / picture, copy)
    (pages / "assets").mkdir()
    shutil.copy(HERE / "kalamos.css", pages / "assets")
    shutil.copy(ROOT / "src/kalamos/app/assets/icon.svg", pages / "assets")
    shutil.copytree(HERE / "theme", source / "theme")
    config = config.replace("SITE_URL", address)
    config = config.replace("LLMSTXT_SECTIONS", llmstxt_sections(nav, about))
    (source / "zensical.toml").write_text(config, encoding="utf-8")


def places_in(nav: Any, title: str = "") -> Iterator[Place]:
    """Yield the pages of a part of the configuration's `nav`, in order.

    >>> [tuple(place) for place in places_in([{"Home": "index.md"}, {"More": [{"Forms": "forms.md"}]}])]
    [('index.md', 'Home'), ('forms.md', 'Forms')]
    """
    if isinstance(nav, str):
        yield Place(nav, title)
    elif isinstance(nav, dict):
        for inner, part in nav.items():
            yield from places_in(part, inner)
    else:
        for part in nav:
            yield from places_in(part)


def llmstxt_sections(nav: Any, about: dict[str, str]) -> str:
    """Write the table of the configuration that has the pages of llms.txt, each with what it is about.

    >>> print(llmstxt_sections([{"More": [{"Forms": "forms.md"}]}], {"forms.md": "A form has boxes."}))
    [project.plugins.llmstxt.sections]
    "More" = [{ "forms.md" = "A form has boxes." }]
    """
    lines = ["[project.plugins.llmstxt.sections]"]
    for entry in nav:
        for title, part in entry.items():
            # Strings are written in TOML as in JSON.
            pages = [f"{{ {json.dumps(page)} = {json.dumps(about[page])} }}" for page, _ in places_in(part)]
            lines.append(f"{json.dumps(title)} = [{', '.join(pages)}]")
    return "\n".join(lines)


def first_sentence(text: str) -> str:
    r"""Return what a page says first, without Markdown; an empty string if it begins with something else.

    >>> first_sentence("# Forms\n\nA form has [boxes](a.md). It is\nread.")
    'A form has boxes.'
    """
    paragraph = text.partition("\n\n")[2].partition("\n\n")[0].replace("\n", " ").strip()
    plain = re.sub(r"\[(.+?)\]\([^)]*\)", r"\1", paragraph).replace("**", "")
    found = re.match(r"[`\w].*?\.(?= |$)", plain)
    return found[0] if found else ""


def page_of(page: str, folder: Path, places: dict[str, Place], repository: str) -> Turned:
    """Return a page as Markdown for the site; the notebook's pictures are written into the folder."""
    if page == COMMAND_LINE:
        return Turned(command_line(), frozenset())
    source = source_of(page)
    if not (ROOT / source).exists():
        raise BuildError(f"{CONFIG}: nav has {page}, and there is no {source}")
    text = notebook(folder / page) if source == NOTEBOOK else (ROOT / source).read_text("utf-8")
    turned = turn_links(widen_lists(text), source, page, places, repository)
    included = include_parts(turned.text, lambda part, file: turn_links(part, file, page, places, repository))
    return Turned(included.text, turned.pictures | included.pictures)


def notebook(page: Path) -> str:
    """Return the notebook as Markdown, with its saved outputs, and write its pictures beside the page."""
    walk = nbformat.read(ROOT / NOTEBOOK, as_version=4)  # type: ignore[no-untyped-call]
    text, resources = MarkdownExporter().from_notebook_node(walk, {"output_files_dir": page.stem})
    for name, content in resources["outputs"].items():
        picture = page.parent / name
        picture.parent.mkdir(parents=True, exist_ok=True)
        picture.write_bytes(content)
    return _JUPYTER_ANCHOR.sub(lambda found: f"](#{slugify(case='lower')(found['heading'], '-')})", text)


def command_line() -> str:
    """Return the help of all commands as a page.

    >>> "## kalamos predict" in command_line()
    True
    """
    parts = ["# The command line\n\nWhat `--help` prints, for every command.\n"]
    for name, command in commands("kalamos", cli):
        # As below kalamos: without, the command would keep a help option without the short name.
        names = cli.context_settings["help_option_names"]
        context = click.Context(
            command, info_name=name, terminal_width=88, max_content_width=88, help_option_names=names
        )
        level = "#" * max(2, len(name.split()))
        parts.append(f"{level} {name}\n\n```text\n{command.get_help(context)}\n```\n")
    return "\n".join(parts)


def commands(name: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
    """Yield a command and those below it, each by its whole name."""
    yield name, command
    if isinstance(command, click.Group):
        context = click.Context(command, info_name=name)
        for below in command.list_commands(context):
            found = command.get_command(context, below)
            if found is not None and not found.hidden:
                yield from commands(f"{name} {below}", found)


if __name__ == "__main__":
    sys.exit(main())
