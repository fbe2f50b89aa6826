"""Gradio, imported as quickly as it can be: all modules of the page take it from here."""

from __future__ import annotations

from kalamos.privacy import import_gradio

import_gradio()

import gradio as gr  # noqa: E402

__all__ = ["gr"]
