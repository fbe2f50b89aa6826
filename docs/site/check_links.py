"""Follow the links of a built site: every page, anchor, picture, script and style has to be in its folder.

Usage: python docs/site/check_links.py FOLDER
"""

from __future__ import annotations

import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

LOADING = frozenset({"src", "poster", "data", "srcset", "xlink:href"})
"""Attributes whose address a browser fetches without being asked."""

LOADED_RELATIONS = frozenset(
    {"stylesheet", "icon", "preload", "modulepreload", "prefetch", "preconnect", "manifest"}
)
"""Of a `link`: others, such as `canonical`, are only there to read."""

_STYLE_ADDRESS = re.compile(r"url\(\s*['\"]?(?P<url>[^'\")]+)|@import\s+['\"](?P<imported>[^'\"]+)")


class Link(NamedTuple):
    """An address on a page."""

    address: str
    loads: bool
    """Whether a browser fetches it by itself."""


class Page(HTMLParser):
    """Collects the links and the anchors of an HTML page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[Link] = []
        self.anchors: set[str] = set()
        self.feed(text)
        self.close()
        styles = re.findall(r"<style[^>]*>(.*?)</style>", text, re.DOTALL)
        self.links += [Link(address, loads=True) for style in styles for address in style_addresses(style)]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Take the addresses of an element, its `id` and its `name`."""
        values = {name: value or "" for name, value in attrs}
        self.anchors.update(values[name] for name in ("id", "name") if name in values)
        for name, value in values.items():
            if name == "srcset":
                self.links += [Link(part.split()[0], loads=True) for part in value.split(",")]
            elif name == "style":
                self.links += [Link(address, loads=True) for address in style_addresses(value)]
            elif name in LOADING:
                self.links.append(Link(value, loads=True))
            elif name == "href" and tag != "base":
                loads = tag in {"use", "image"} or bool(LOADED_RELATIONS & set(values.get("rel", "").split()))
                if tag != "link" or loads:
                    self.links.append(Link(value, loads))


def style_addresses(text: str) -> list[str]:
    """Return what a style sheet fetches.

    >>> style_addresses("@import 'a.css'; p { background: url(b.png) }")
    ['a.css', 'b.png']
    """
    return [found["url"] or found["imported"] for found in _STYLE_ADDRESS.finditer(text)]


def problems_of(site: Path, root: str = "/") -> list[str]:
    """Return what is amiss with the links of a site, a line each.

    Args:
        site: its folder.
        root: the path of its address on its host, which addresses from the host's root begin with.
    """
    pages = {path: Page(path.read_text("utf-8")) for path in sorted(site.rglob("*.html"))}
    links = [(path, link) for path, page in pages.items() for link in page.links]
    for path in sorted(site.rglob("*.css")):
        links += [(path, Link(address, loads=True)) for address in style_addresses(path.read_text("utf-8"))]
    found = ((path, link.address, _trouble(link, path, site, root, pages)) for path, link in links)
    return [
        f"{path.relative_to(site).as_posix()}: {address}: {trouble}"
        for path, address, trouble in found
        if trouble
    ]


def _trouble(link: Link, origin: Path, site: Path, root: str, pages: dict[Path, Page]) -> str | None:
    """Say what is amiss with one link; None if nothing is."""
    parts = urlsplit(link.address)
    if parts.scheme in {"data", "blob", "mailto"}:
        return None
    if parts.scheme or parts.netloc:
        return "loaded from another host" if link.loads else None
    target = origin
    if parts.path:
        path = unquote(parts.path)
        inside = path.removeprefix(root)
        target = (site / inside if path != inside else origin.parent / path).resolve()
    if target.is_dir():
        target /= "index.html"
    if not target.is_relative_to(site) or not target.is_file():
        return "not on the site"
    if link.loads and not parts.path:
        return "empty"
    anchor = unquote(parts.fragment)
    if anchor and target in pages and anchor not in pages[target].anchors:
        return "no such anchor"
    return None


if __name__ == "__main__":
    found = problems_of(Path(sys.argv[1]).resolve())
    print("\n".join(found), file=sys.stderr)
    sys.exit(bool(found))
