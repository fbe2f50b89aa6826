"""What every HTML page here is made of: one file that asks nothing of the network.

No scripts; pictures are data URIs, and a content security policy lets nothing else in. Labels stand in
`<bdi>`, so that Arabic ones keep their place in a line.
"""

from __future__ import annotations

import base64
from html import escape
from pathlib import Path

__all__ = ["data_uri", "document", "isolated", "percent", "plot"]

SHARPNESS = 1.6
"""Pixels of a plot to a CSS pixel: sharp on fine screens and on paper."""

_STYLE = Path(__file__).with_name("page.css")
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def document(title: str, body: str) -> str:
    """A whole page, in the style of `page.css`.

    Args:
        title: plain text.
        body: HTML.
    """
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>\n{_STYLE.read_text(encoding='utf-8')}</style>\n"
        f"</head>\n<body>\n<main>\n{body}\n</main>\n</body>\n</html>\n"
    )


def plot(light: bytes, dark: bytes, alt: str, caption: str) -> str:
    """A plot in both palettes, PNG each: the reader's screen chooses."""
    width, height = (round(pixels / SHARPNESS) for pixels in _png_size(light))
    return (
        '<figure class="plot"><picture>'
        f'<source media="screen and (prefers-color-scheme: dark)" srcset="{data_uri(dark)}">'
        f'<img alt="{alt}" width="{width}" height="{height}" src="{data_uri(light)}"></picture>'
        f"<figcaption>{caption}</figcaption></figure>"
    )


def data_uri(image: bytes) -> str:
    r"""A PNG's or a JPEG's bytes as an address that holds them.

    >>> data_uri(b"\xff\xd8")
    'data:image/jpeg;base64,/9g='
    """
    kind = "jpeg" if image.startswith(b"\xff\xd8") else "png"
    return f"data:image/{kind};base64,{base64.b64encode(image).decode()}"


def isolated(text: str, kind: str = "") -> str:
    """Text that keeps its own direction, under a CSS class if `kind` names one.

    >>> isolated("<b>")
    '<bdi>&lt;b&gt;</bdi>'
    """
    name = f' class="{kind}"' if kind else ""
    return f"<bdi{name}>{escape(text)}</bdi>"


def percent(share: float | None) -> str:
    """A share with two decimals; a dash where there is none."""
    return "–" if share is None else f"{share:.2%}"


def _png_size(png: bytes) -> tuple[int, int]:
    return int.from_bytes(png[16:20]), int.from_bytes(png[20:24])
