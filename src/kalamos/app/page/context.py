"""What the tabs share: looks, fields and options that several tabs have, and the choice of the model."""

from __future__ import annotations

import base64
import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path, PurePath
from typing import Any, Final

from kalamos.app._gradio import gr
from kalamos.app.batching import ModelRegistry
from kalamos.app.errors import Limits
from kalamos.app.page.html import alphabet_summary, hint_html, problem_html
from kalamos.app.page.session import Session
from kalamos.app.scans import FormRegistry
from kalamos.app.visits import base_name, current_visit
from kalamos.errors import ImageError, KalamosError
from kalamos.images import read_file
from kalamos.model_file import ModelSpec
from kalamos.predict_options import PredictOptions
from kalamos.recognizer import load

ASSETS = files("kalamos.app") / "assets"

PRIVATE: Final[dict[str, Any]] = {"api_visibility": "private"}
"""Options of every event: none is part of an API."""

QUIET: Final[dict[str, Any]] = {"show_progress": "hidden", **PRIVATE}
"""Options of an event that is over in a moment."""

PAGE_SCRIPTS = ("pictures.js", "keyboard.js")
"""Run from the page's head, before Gradio has built the page."""

# Arabic letters are shown large: in a naskh face if there is one, else in the system's own.
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

FOLDER_SLASH: Final = "\u2044"
"""What `assets/folder.js` writes for the slashes in the path of a file of a folder, as a name has none."""

MAX_SHOWN_LABELS = 12

# The upload's own size changes when it is empty again, which may push the outcome out of sight.
SHOW_OUTCOME_JS: Final = (
    """() => document.querySelector("#model-file-outcome")?.scrollIntoView({ block: "nearest" })"""
)

SAVE_FILE_JS: Final = """(name, content) => {
  if (!content) return [name, content];
  const link = document.createElement("a");
  link.href = "data:application/octet-stream;base64," + content;
  link.download = name;
  link.click();
  return [name, ""];
}"""

UploadedFile = tuple[str, Path]
"""A file's own name, and where it lies."""


@dataclass(frozen=True)
class Context:
    """What each tab is given while the page is built."""

    registry: ModelRegistry
    limits: Limits
    corrections_dir: Path
    session: gr.State
    """Holds a `Session`, which is changed in place: Gradio compares a state that is given back."""
    model: gr.Dropdown
    forms: FormRegistry = field(default_factory=FormRegistry)
    local: bool = True
    """Whether only this computer can reach the page: whoever does may know where its files lie."""

    def options(self, least: float, charset: str) -> PredictOptions:
        """Return the options of `predict` that two fields of the page stand for.

        Args:
            least: the least confidence; 0 for the model's own.
            charset: "" for all characters.

        Raises:
            UsageError: out of range.
        """
        max_pixels = self.limits.pixels
        return PredictOptions(
            min_confidence=least or None, charset=charset.strip() or None, max_pixels=max_pixels
        )


def page_theme() -> dict[str, Any]:
    """Return the options of `gradio.mount_gradio_app` that make the page look as it should.

    The system's own fonts, calm colours, light and dark, down to a phone's width.

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
        "css": asset_text("page.css"),
        "head": PAGE_HEAD_HTML.replace("{scripts}", "\n".join(map(asset_text, PAGE_SCRIPTS))),
        "favicon_path": str(ASSETS / "icon.svg"),
    }


def asset_text(name: str) -> str:
    """Return one of the text files that ship with the page."""
    return (ASSETS / name).read_text(encoding="utf-8")


def confidence_field(**named: Any) -> gr.Slider:
    """Build a field for the least confidence of an answer."""
    return gr.Slider(0, 0.99, value=0, step=0.01, label="Minimum confidence", **named)


def charset_field(**named: Any) -> gr.Textbox:
    """Build a field for the characters that can be there."""
    return gr.Textbox(label="Only these characters", value="", max_length=400, **named)


def saves_file(
    button: gr.Button, name: str, make: Callable[..., Any], inputs: Any, *outcome: gr.HTML
) -> None:
    """Let a button save a document through two hidden fields: no file of results ever lies on the server.

    Args:
        button: the button.
        name: the hidden fields' ids begin with it.
        make: makes the file's name and its bytes (None for none), and a value for each of `outcome`.
        inputs: of `make`.
        outcome: components.
    """
    file_name = gr.Textbox(visible="hidden", elem_id=f"{name}-name")
    content = gr.Textbox(visible="hidden", elem_id=f"{name}-content")

    def encoded(*values: Any) -> tuple[Any, ...]:
        called, document, *said = make(*values)
        return called, base64.b64encode(document or b"").decode("ascii"), *said

    given = button.click(encoded, inputs, [file_name, content, *outcome], **QUIET)
    given.then(None, [file_name, content], [file_name, content], js=SAVE_FILE_JS, **QUIET)


def files_input(**named: Any) -> gr.File:
    """Build a `gr.File` whose value is a list of `UploadedFile`.

    `gr.File` itself hands on the names of its copies, and leaves an empty temporary file behind for each.
    """
    component = gr.File(type="filepath", **named)
    # Not a subclass: for each, Gradio writes a stub file beside its source.
    component.preprocess = _uploaded_files  # type: ignore[assignment, method-assign]
    return component


def picture_input(**named: Any) -> gr.Image:
    """Build a `gr.Image` whose value is the file's bytes: kalamos decodes them itself, within its limits."""
    component = gr.Image(type="filepath", image_mode=None, **named)
    component.preprocess = _picture_bytes  # type: ignore[assignment, method-assign]
    return component


def _uploaded_files(payload: Any) -> list[UploadedFile]:
    given = payload.root if hasattr(payload, "root") else [payload] if payload else []
    # Only a name, which nothing is opened by: so it may have slashes.
    names = [base_name(file.orig_name or Path(file.path).name).replace(FOLDER_SLASH, "/") for file in given]
    return [(name, _own_path(file.path)) for name, file in zip(names, given, strict=True)]


def _picture_bytes(payload: Any) -> bytes | None:
    return None if payload is None or payload.path is None else read_file(_own_path(payload.path))


def _own_path(path: str) -> Path:
    """Return the path of a file that this visit uploaded; checked again where its bytes are about to be read.

    Raises:
        gradio.Error: it is not, whatever let it come so far.
    """
    visit = current_visit.get()
    own = None if visit is None else visit.own_path(path)
    if own is None:
        raise gr.Error("this file is not one that was uploaded from this browser", print_exception=False)
    return Path(own)


def uploaded_bytes(path: Path, name: str) -> bytes:
    """Return the bytes of an uploaded file.

    Raises:
        ImageError: it cannot be read; the message calls it by its own name, not by its place on the server.
    """
    try:
        return read_file(path)
    except ImageError as error:
        raise type(error)(error.problem.replace(str(path), name), remedy=error.remedy) from None


def model_line(spec: ModelSpec) -> str:
    """Return a line on what a model reads.

    >>> from kalamos.recognizer import load
    >>> model_line(load("digits").spec)
    'Reads 10 characters: 0 1 2 3 4 5 6 7 8 9'
    """
    labels = spec.alphabet.labels
    shown = " ".join(labels[:MAX_SHOWN_LABELS]) + (" …" if len(labels) > MAX_SHOWN_LABELS else "")
    return f"Reads {len(labels)} characters: {shown}"


def choices(session: Session, registry: ModelRegistry) -> list[tuple[str, str]]:
    """Return what the list of models shows, a model and what it reads, and the names behind it."""
    listed = []
    for name in session.model_names(registry):
        with suppress(KalamosError):  # a taught model's file may go at any time
            own = session.own_models.get(name)
            spec = registry.spec(name) if own is None else own.spec
            listed.append((f"{name}: {alphabet_summary(spec.alphabet.labels)}", name))
    return listed


def chosen_model(visit: Session, registry: ModelRegistry) -> str:
    """Return the model that a visit chose last, or the default if that is not there any more."""
    return visit.model if visit.model in visit.model_names(registry) else registry.default


def build_model_picker(registry: ModelRegistry) -> tuple[gr.Dropdown, gr.HTML]:
    """Build the list of models, and the line about the chosen one."""
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


def connect_model_picker(page: gr.Blocks, context: Context, about: gr.HTML) -> None:
    """Let the list of models follow the visit, and the visit the list."""
    registry, session, model = context.registry, context.session, context.model

    def describe(visit: Session, name: str) -> str:
        visit.model = name
        try:
            return hint_html(model_line(visit.reader(registry, name).spec))
        except KalamosError as error:
            return problem_html(error)

    def restore(visit: Session) -> Any:
        return gr.update(choices=choices(visit, registry), value=chosen_model(visit, registry))

    page.load(restore, session, model, **QUIET)
    model.change(describe, [session, model], about, **QUIET)


def build_model_file() -> tuple[gr.File, gr.HTML]:
    """Build the place for a model file, closed until it is opened, and the outcome of the last one given."""
    with gr.Accordion("Use a model file of your own", open=False):
        file = files_input(
            label="A model file (.onnx) that kalamos wrote",
            file_types=[".onnx"],
            elem_id="model-file",
            height=120,
        )
        return file, gr.HTML("", elem_id="model-file-outcome")


def connect_model_file(context: Context, file: gr.File, outcome: gr.HTML) -> None:
    """Take a given model file into the visit. Without this call, no event takes one."""

    def take(visit: Session, given_files: list[UploadedFile]) -> tuple[Any, Any, str]:
        if not given_files:
            return gr.skip(), gr.skip(), ""
        [(given, path), *_] = given_files
        # Gradio deletes its own copy some day; a model that is taught is read again.
        try:
            copy = visit.folder("models") / f"{os.urandom(8).hex()}.onnx"
        except KalamosError as error:
            return gr.skip(), None, problem_html(error)
        shutil.copyfile(path, copy)
        try:
            reader = load(copy)
            name = visit.add_model(context.registry, PurePath(given).stem, reader)
        except KalamosError as error:
            copy.unlink()
            return gr.skip(), None, problem_html(str(error).replace(copy.as_posix(), given))
        chosen = gr.update(choices=choices(visit, context.registry), value=name)
        return chosen, None, hint_html(f"{name} is now selected above. {model_line(reader.spec)}")

    session, model = context.session, context.model
    taken = file.upload(take, [session, file], [model, file, outcome], **PRIVATE)
    taken.then(None, js=SHOW_OUTCOME_JS, **PRIVATE)
