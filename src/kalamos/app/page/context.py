"""What the tabs share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import gradio as gr

from kalamos.app.limits import Limits
from kalamos.app.models import ModelRegistry

__all__ = ["Context"]


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
