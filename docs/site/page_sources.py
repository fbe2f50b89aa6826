"""The pages of the site as Markdown: where each comes from, and its links made into the site's."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]

DEMO = "demo"
"""The folder of the site with the page that reads in a browser."""

PICTURES = frozenset({".png", ".jpg", ".svg"})

NOTEBOOK = "notebooks/walkthrough.ipynb"

MADE = frozenset({DEMO, PurePosixPath(NOTEBOOK).stem})
"""Folders beside a page that come of the build: the links into them stay."""

COMMAND_LINE = "reference/command-line.md"
"""A page that is made, and has no source."""

_TOKEN = re.compile(
    r"^(?P<fence>[ ]*(?:```|~~~)).*?^(?P=fence)[ ]*$"
    r"|(?P<code>`+)(?!`).+?(?<!`)(?P=code)(?!`)"
    r"|(?P<mark>!?)\[(?P<text>(?:[^\[\]]|\[[^\[\]]*\])*)\]\((?P<target>[^)\s]+)\)"
    r'|(?P<attribute>\s(?:src|href)=")(?P<address>[^"]+)"',
    re.MULTILINE | re.DOTALL,
)
"""Code, which is left alone, or a link."""

_ELSEWHERE = re.compile(r"[a-z][a-z0-9+.-]*:|//|#")

_INCLUDE = re.compile(r"^<!-- (?P<file>\S+\.md): (?P<part>\S+) -->$", re.MULTILINE)


class LinkError(Exception):
    """A page links to what is neither on the site nor in the repository."""


def source_of(page: str) -> str:
    """Return the file of the repository that a page of the site is made from.

    >>> source_of("forms.md"), source_of("models/digits.md"), source_of("project/changelog.md")
    ('docs/forms.md', 'src/kalamos/zoo/digits.md', 'CHANGELOG.md')
    """
    folder, _, name = page.rpartition("/")
    if page == "models/index.md":
        return "docs/site/models.md"
    if folder in ("", "reference"):
        own = f"docs/site/{page}"
        return own if (ROOT / own).exists() else f"docs/{page}"
    if folder == "models":
        return f"src/kalamos/zoo/{name}"
    if folder == "tutorials":
        return f"notebooks/{PurePosixPath(name).with_suffix('.ipynb')}"
    return f"{PurePosixPath(name).stem.upper()}.md"


def files_of(folder: str) -> set[str]:
    """Return the pages that have to be on the site, by their files in the repository."""
    return {path.relative_to(ROOT).as_posix() for path in (ROOT / folder).glob("*.md")}


class Turned(NamedTuple):
    """A page that is ready for the site."""

    text: str
    pictures: frozenset[str]
    """The files of the repository that it shows; they lie at the same place below the site's pages."""


class Place(NamedTuple):
    """Where a file of the repository is on the site."""

    page: str
    title: str


def turn_links(text: str, source: str, page: str, places: dict[str, Place], repository: str = "") -> Turned:
    """Turn the links of a page: to another page, a picture, a file in the repository, or plain text.

    Args:
        text: Markdown. Code in it stays as it is.
        source: the file of the repository to which its links are relative.
        page: where it will be on the site.
        places: of all pages of the site, by the file in the repository. A link that is called as the file is
            called as the page.
        repository: the address of the repository, such as https://github.com/OWNER/NAME. Without it, links
            to files that are not on the site become plain text.

    Raises:
        LinkError: there is no such file.

    >>> places = {"docs/app.md": Place("app.md", "The app"), "SECURITY.md": Place("more/security.md", "Safe")}
    >>> turn_links("[see](../SECURITY.md#a), [app.md](app.md)", "docs/forms.md", "forms.md", places).text
    '[see](more/security.md#a), [The app](app.md)'
    >>> turn_links("by [a program](../Makefile)", "docs/forms.md", "forms.md", places).text
    'by a program'
    """
    pictures = set()

    def place_of(address: str) -> str | None:
        """The address on the site; None if the site does not have it."""
        path, hash_, anchor = address.partition("#")
        if PurePosixPath(path).parts[0] in MADE:
            return address
        file = os.path.normpath(PurePosixPath(source).parent / path)
        if file in places:
            return f"{os.path.relpath(places[file].page, PurePosixPath(page).parent)}{hash_}{anchor}"
        if not (ROOT / file).exists():
            raise LinkError(f"{source}: {address} does not exist")
        if PurePosixPath(file).suffix in PICTURES:
            pictures.add(file)
            return os.path.relpath(f"files/{file}", PurePosixPath(page).parent)
        if not repository:
            return None
        kind = "tree" if (ROOT / file).is_dir() else "blob"
        return f"{repository}/{kind}/main/{file}{hash_}{anchor}"

    def turned(found: re.Match[str]) -> str:
        address = found["target"] or found["address"]
        if address is None or _ELSEWHERE.match(address):
            return found[0]
        place = place_of(address)
        if found["attribute"] is not None:
            if place is None:
                raise LinkError(f"{source}: {address} is not on the site")
            return f'{found["attribute"]}{place}"'
        inner = turn_links(found["text"], source, page, places, repository)
        pictures.update(inner.pictures)
        file = os.path.normpath(PurePosixPath(source).parent / address.partition("#")[0])
        named = PurePosixPath(found["text"]).name == PurePosixPath(file).name
        words = places[file].title if named and file in places else inner.text
        return words if place is None else f"{found['mark']}[{words}]({place})"

    return Turned(_TOKEN.sub(turned, text), frozenset(pictures))


def include_parts(text: str, turn: Callable[[str, str], Turned]) -> Turned:
    """Put in the marked parts of other files: `<!-- README.md: models -->` stands for README's models.

    Args:
        text: Markdown.
        turn: what turns the links of a text that comes from a file.
    """
    pictures: set[str] = set()

    def part(found: re.Match[str]) -> str:
        _, begun, rest = (ROOT / found["file"]).read_text("utf-8").partition(f"<!-- {found['part']} -->")
        content, ended, _ = rest.partition(f"<!-- /{found['part']} -->")
        if not (begun and ended):
            raise LinkError(f"{found['file']} has no part {found['part']}")
        turned = turn(content, found["file"])
        pictures.update(turned.pictures)
        return turned.text

    return Turned(_INCLUDE.sub(part, text), frozenset(pictures))


def widen_lists(text: str) -> str:
    r"""Indent what belongs to a list's item by four columns, which Python-Markdown wants and GitHub does not.

    >>> print(widen_lists("- a\n  more\n\n  ```sh\n  ls\n  ```\n"))
    - a
        more
    <BLANKLINE>
        ```sh
        ls
        ```
    <BLANKLINE>
    """
    lines = []
    marker = 0  # the width of the marker of the list that the line is in
    fenced = False
    for line in text.split("\n"):
        begins = re.match(r"(?:[-*+]|\d+\.) +", line)
        if begins and not fenced:
            marker = len(begins[0])
        elif line and not line.startswith(" "):
            marker = 0
        if line.lstrip().startswith("```") and (marker or line.startswith("```")):
            fenced = not fenced
        spaces = len(line) - len(line.lstrip(" "))
        lines.append(" " * (4 - marker) + line if 0 < marker <= min(spaces, 3) else line)
    return "\n".join(lines)
