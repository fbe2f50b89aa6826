"""Choosing the model: one of the shelf's, or a file."""

from __future__ import annotations

import os
import shutil
from pathlib import PurePath
from typing import Any

import gradio as gr

from kalamos.app.models import ModelShelf
from kalamos.app.page.session import Session
from kalamos.app.page.uploads import Upload, files_input
from kalamos.app.page.words import hint_html, problem_html
from kalamos.errors import KalamosError
from kalamos.model_file import ModelSpec
from kalamos.recognizer import load

__all__ = ["build_model_file", "build_switcher", "choices", "connect_switcher", "described"]

SHOWN_LABELS = 12


def described(spec: ModelSpec) -> str:
    """A line on what a model reads.

    >>> from kalamos import load
    >>> described(load("digits").spec)
    'Reads 10 characters: 0 1 2 3 4 5 6 7 8 9'
    """
    labels = spec.alphabet.labels
    shown = " ".join(labels[:SHOWN_LABELS]) + (" …" if len(labels) > SHOWN_LABELS else "")
    return f"Reads {len(labels)} characters: {shown}"


def choices(session: Session, shelf: ModelShelf) -> list[tuple[str, str]]:
    """What the dropdown shows, and the names behind it."""
    return [(name, name) for name in session.model_names(shelf)]


def build_switcher(shelf: ModelShelf) -> tuple[gr.Dropdown, gr.HTML]:
    """The dropdown, and the line about the chosen model."""
    with gr.Row(equal_height=True):
        model = gr.Dropdown(
            choices(Session(), shelf),
            value=shelf.default,
            label="Model",
            filterable=False,
            elem_id="model",
            scale=2,
            min_width=180,
        )
        about = gr.HTML(hint_html(described(shelf.spec(shelf.default))), elem_id="about", scale=4)
    return model, about


def build_model_file() -> gr.File:
    """The place for a model file, closed until it is asked for."""
    with gr.Accordion("Use a model file of your own", open=False):
        return files_input(
            label="A model file (.onnx) that kalamos wrote",
            file_types=[".onnx"],
            elem_id="model-file",
            height=120,
        )


def connect_switcher(
    shelf: ModelShelf, session: gr.State, model: gr.Dropdown, file: gr.File, about: gr.HTML
) -> None:
    def tell(visit: Session, name: str) -> str:
        try:
            return hint_html(described(visit.reader(shelf, name).spec))
        except KalamosError as error:
            return problem_html(error)

    def take(visit: Session, files: list[Upload]) -> tuple[Any, Any, str]:
        if not files:
            return gr.skip(), gr.skip(), gr.skip()
        [(given, path), *_] = files
        # Gradio deletes its own copy some day; a model that is taught is read again.
        copy = visit.folder("models") / f"{os.urandom(8).hex()}.onnx"
        shutil.copyfile(path, copy)
        try:
            reader = load(copy)
        except KalamosError as error:
            copy.unlink()
            return gr.skip(), None, problem_html(str(error).replace(copy.as_posix(), given))
        name = visit.add_model(shelf, PurePath(given).stem, reader)
        return (
            gr.update(choices=choices(visit, shelf), value=name),
            None,
            hint_html(described(reader.spec)),
        )

    model.change(tell, [session, model], about, show_progress="hidden", api_visibility="private")
    file.upload(take, [session, file], [model, file, about], api_visibility="private")
