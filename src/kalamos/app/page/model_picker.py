"""Choosing the model: one of the registry's, or a file."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import PurePath
from typing import Any, Final

import gradio as gr

from kalamos.app.batching import ModelRegistry
from kalamos.app.page.folder_tab import UploadedFile, files_input
from kalamos.app.page.html import alphabet_summary, hint_html, problem_html
from kalamos.app.page.session import Session
from kalamos.errors import KalamosError
from kalamos.model_file import ModelSpec
from kalamos.recognizer import load

__all__ = [
    "build_model_file",
    "build_model_picker",
    "choices",
    "chosen_model",
    "connect_model_file",
    "connect_model_picker",
    "model_line",
]

MAX_SHOWN_LABELS = 12

# The upload's own size changes when it is empty again, which may push what is said of it out of sight.
SHOW_OUTCOME_JS: Final = (
    """() => document.querySelector("#model-file-outcome")?.scrollIntoView({ block: "nearest" })"""
)


def model_line(spec: ModelSpec) -> str:
    """A line on what a model reads.

    >>> from kalamos.recognizer import load
    >>> model_line(load("digits").spec)
    'Reads 10 characters: 0 1 2 3 4 5 6 7 8 9'
    """
    labels = spec.alphabet.labels
    shown = " ".join(labels[:MAX_SHOWN_LABELS]) + (" …" if len(labels) > MAX_SHOWN_LABELS else "")
    return f"Reads {len(labels)} characters: {shown}"


def choices(session: Session, registry: ModelRegistry) -> list[tuple[str, str]]:
    """What the dropdown shows, a model and what it reads, and the names behind it."""
    listed = []
    for name in session.model_names(registry):
        with suppress(KalamosError):  # a taught model's file may go at any time
            reads = alphabet_summary(_spec_of(session, registry, name).alphabet.labels)
            listed.append((f"{name}: {reads}", name))
    return listed


def chosen_model(visit: Session, registry: ModelRegistry) -> str:
    """The model that a visit chose last, or the first one to be chosen where that is here no more."""
    return visit.model if visit.model in visit.model_names(registry) else registry.default


def _spec_of(session: Session, registry: ModelRegistry, name: str) -> ModelSpec:
    """What a model says about itself; none of the registry's is opened for it."""
    own = session.own_models.get(name)
    return registry.spec(name) if own is None else own.spec


def build_model_picker(registry: ModelRegistry) -> tuple[gr.Dropdown, gr.HTML]:
    """The dropdown, and the line about the chosen model."""
    with gr.Row(equal_height=True):
        model = gr.Dropdown(
            choices(Session(), registry),
            value=registry.default,
            label="Model",
            filterable=False,
            elem_id="model",
            scale=2,
            min_width=180,
        )
        about = gr.HTML(hint_html(model_line(registry.spec(registry.default))), elem_id="about", scale=4)
    return model, about


def build_model_file() -> tuple[gr.File, gr.HTML]:
    """The place for a model file, closed until it is asked for, and what became of the last one given."""
    with gr.Accordion("Use a model file of your own", open=False):
        file = files_input(
            label="A model file (.onnx) that kalamos wrote",
            file_types=[".onnx"],
            elem_id="model-file",
            height=120,
        )
        return file, gr.HTML("", elem_id="model-file-outcome")


def connect_model_picker(
    page: gr.Blocks, registry: ModelRegistry, session: gr.State, model: gr.Dropdown, about: gr.HTML
) -> None:
    def tell(visit: Session, name: str) -> str:
        visit.model = name
        try:
            return hint_html(model_line(visit.reader(registry, name).spec))
        except KalamosError as error:
            return problem_html(error)

    def restore(visit: Session) -> Any:
        return gr.update(choices=choices(visit, registry), value=chosen_model(visit, registry))

    page.load(restore, session, model, show_progress="hidden", api_visibility="private")
    model.change(tell, [session, model], about, show_progress="hidden", api_visibility="private")


def connect_model_file(
    registry: ModelRegistry, session: gr.State, model: gr.Dropdown, file: gr.File, outcome: gr.HTML
) -> None:
    """Take a given model file into the visit. Where this is not called, no event takes one."""

    def take(visit: Session, files: list[UploadedFile]) -> tuple[Any, Any, str]:
        if not files:
            return gr.skip(), gr.skip(), ""
        [(given, path), *_] = files
        # Gradio deletes its own copy some day; a model that is taught is read again.
        try:
            copy = visit.folder("models") / f"{os.urandom(8).hex()}.onnx"
        except KalamosError as error:
            return gr.skip(), None, problem_html(error)
        shutil.copyfile(path, copy)
        try:
            reader = load(copy)
            name = visit.add_model(registry, PurePath(given).stem, reader)
        except KalamosError as error:
            copy.unlink()
            return gr.skip(), None, problem_html(str(error).replace(copy.as_posix(), given))
        chosen = gr.update(choices=choices(visit, registry), value=name)
        return chosen, None, hint_html(f"{name} is now selected above. {model_line(reader.spec)}")

    taken = file.upload(take, [session, file], [model, file, outcome], api_visibility="private")
    taken.then(None, js=SHOW_OUTCOME_JS, api_visibility="private")
