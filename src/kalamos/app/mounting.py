"""Putting Gradio's page under the API, without what this page does not need."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from fastapi import FastAPI

from kalamos.app.limits import Limits
from kalamos.app.page_guard import PageGuard

if TYPE_CHECKING:
    import gradio

__all__ = ["mount_page"]


def mount_page(app: FastAPI, page: gradio.Blocks, limits: Limits) -> Callable[[], None]:
    """Mount a page at `/`: no other files, no history, no server of its own, files kept to their browser.

    Returns:
        What ends the page: its browsers hold a connection open for as long as they show it.
    """
    from gradio import mount_gradio_app
    from gradio.utils import get_upload_folder

    from kalamos.app.page import looks

    page.analytics_enabled = False
    page.queue(max_size=limits.queue)
    mount_gradio_app(
        app,
        page,
        path="/",
        allowed_paths=[],
        footer_links=[],
        run_history=False,
        # Of what nobody foresaw, a visitor learns that it happened; the page says all else itself.
        show_error=False,
        max_file_size=limits.upload_bytes,
        ssr_mode=False,
        enable_monitoring=False,
        pwa=False,
        mcp_server=False,
        **looks(),
    )
    app.add_middleware(PageGuard, folder=Path(get_upload_folder()), most=limits.upload_bytes)
    return partial(page.close, verbose=False)
