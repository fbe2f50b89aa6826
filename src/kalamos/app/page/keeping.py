"""Checked characters, saved at once in a folder that `kalamos train` and `kalamos teach` take as it is."""

from __future__ import annotations

import os
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from kalamos.app.page.context import Context
from kalamos.app.page.session import SavedExample, Session
from kalamos.app.page.taught import TaughtModelRegistry
from kalamos.predictions import Prediction

if TYPE_CHECKING:
    from kalamos.corrections import Corrections

__all__ = [
    "corrections_folder",
    "note_origin",
    "save_correction",
    "shown_path",
    "slug",
    "taught_folder",
    "undo_correction",
]


def corrections_folder(context: Context, visit: Session, model: str) -> Path:
    """Where the corrections of a model's answers lie; those of a model taught from it join them."""
    return context.corrections_dir / slug(visit.origin(model))


def taught_folder(corrections_dir: str | os.PathLike[str]) -> Path:
    """Where taught models lie: beside the corrections, each of which has a folder of its model's name."""
    return Path(corrections_dir) / "taught models"


def shown_path(context: Context, path: Path) -> str:
    """A path as the page shows it: whole to who sits at this computer, to others its last part alone."""
    return str(path.absolute()) if context.local else path.name


def note_origin(context: Context, visit: Session, model: str) -> None:
    """Let a visit know what a model was taught from, where that was in another visit."""
    base = context.registry.taught_from(model) if isinstance(context.registry, TaughtModelRegistry) else None
    if base is not None:
        visit.taught_from.setdefault(model, base)


def save_correction(
    context: Context,
    visit: Session,
    place: str,
    model: str,
    image: bytes,
    label: str | None,
    guess: Prediction,
) -> None:
    """Save one at once, with the model's guess and the time.

    Args:
        place: the part of the page, which `undo_correction` takes the last one of.
        image: the bytes as they came.
        label: None for what is not a character.

    Raises:
        KalamosError: the label cannot be kept, or the disk does not take it.
    """
    note_origin(context, visit, model)
    copy = visit.folder("kept") / os.urandom(8).hex()
    _corrections(context, visit, place, model).add(image, label, guess, datetime.now(UTC))
    copy.write_bytes(image)
    visit.kept.append(SavedExample(model, label, copy))


def undo_correction(context: Context, visit: Session, place: str, kept: SavedExample) -> None:
    """Take the last one of a part of the page away again."""
    _corrections(context, visit, place, kept.model).undo()
    visit.kept.remove(kept)
    kept.image.unlink(missing_ok=True)


def _corrections(context: Context, visit: Session, place: str, model: str) -> Corrections:
    from kalamos.corrections import Corrections

    key = visit.origin(model), place
    if key not in visit.corrections:
        visit.corrections[key] = Corrections(corrections_folder(context, visit, model))
    return visit.corrections[key]


def slug(model: str) -> str:
    """A model's name as a file's, on every system; uploaded files are called anything."""
    return re.sub(r"[^\w-]+", "-", model).strip("-")[:60] or "model"
