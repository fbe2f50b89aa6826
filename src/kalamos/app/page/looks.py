"""How the page looks: the system's own fonts, calm colours, light and dark, down to a phone's width."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

import gradio as gr

__all__ = ["page_theme"]

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
