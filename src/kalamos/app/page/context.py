"""What the tabs share: theme, loaded models, plots.

What the tabs share.

How the page looks: the system's own fonts, calm colours, light and dark, down to a phone's width.

Columns for counts, as HTML.

Gradio's own plot shows data that came while it was still being drawn, or behind another tab, at times only
in part: the title of the new and the columns of the old.
"""

from __future__ import annotations

import html
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import gradio as gr

from kalamos.app.batching import ModelRegistry
from kalamos.app.errors import Limits

__all__ = ["Context", "columns_html", "page_theme"]


@dataclass(frozen=True)
class Context:
    """Given to each tab while the page is built."""

    registry: ModelRegistry
    limits: Limits
    corrections_dir: Path
    session: gr.State
    """Holds a `Session`, which is changed in place: Gradio compares a state that is given back."""
    model: gr.Dropdown
    local: bool = True
    """Whether only this computer can reach the page: whoever does may know where its files lie."""


ASSETS = files("kalamos.app") / "assets"

PAGE_SCRIPTS = ("pictures.js", "keyboard.js")
"""Run from the page's head, before Gradio has built the page."""

# Arabic letters are shown large: a naskh face where there is one, else the system's own.
TEXT_FONTS = (
    "system-ui",
    "-apple-system",
    "Segoe UI",
    "Roboto",
    "Noto Sans",
    "Noto Naskh Arabic",
    "sans-serif",
)
CODE_FONTS = ("ui-monospace", "SFMono-Regular", "Consolas", "monospace")

# Gradio puts its own class before each rule of `css`, which then cannot reach what holds the page.
PAGE_HEAD_HTML = """<meta name="color-scheme" content="light dark">
<meta name="referrer" content="no-referrer">
<style>
@media (max-width: 640px) { .gradio-container .main.fillable { padding: .5em .75em !important; } }
</style>
<script>{scripts}</script>
"""


def page_theme() -> dict[str, Any]:
    """What `gradio.mount_gradio_app` has to be told, so that the page page_theme as it should.

    >>> sorted(page_theme())
    ['css', 'favicon_path', 'head', 'theme']
    """
    theme = gr.themes.Base(
        primary_hue="teal",
        secondary_hue="teal",
        neutral_hue="stone",
        radius_size="sm",
        font=TEXT_FONTS,
        font_mono=CODE_FONTS,
    ).set(
        body_background_fill="*neutral_50",
        block_shadow="none",
        button_large_text_weight="500",
        button_primary_background_fill="*primary_700",
        button_primary_background_fill_hover="*primary_800",
        button_primary_background_fill_dark="*primary_700",
        button_primary_text_color="white",
        block_info_text_color="*neutral_600",
        body_text_color_subdued="*neutral_600",
        body_text_color_subdued_dark="*neutral_300",
        block_info_text_color_dark="*neutral_300",
    )
    return {
        "theme": theme,
        "css": _asset_text("page.css"),
        "head": PAGE_HEAD_HTML.replace("{scripts}", "\n".join(_asset_text(name) for name in PAGE_SCRIPTS)),
        "favicon_path": str(ASSETS / "icon.svg"),
    }


def _asset_text(name: str) -> str:
    return (ASSETS / name).read_text(encoding="utf-8")


def columns_html(title: str, counts: Mapping[str, int]) -> str:
    """A column for each label, with its count above and its label beneath.

    >>> columns_html("How often", {"7": 2, "1": 1}).count('class="column"')
    2
    """
    most = max(counts.values(), default=0) or 1
    columns = "".join(
        f'<li title="{html.escape(label)}: {count:,}"><span class="count">{count:,}</span>'
        f'<span class="column" style="--share:{count / most:.4f}"></span>'
        f"<bdi>{html.escape(label)}</bdi></li>"
        for label, count in counts.items()
    )
    return f'<figure class="columns"><figcaption>{html.escape(title)}</figcaption><ul>{columns}</ul></figure>'
