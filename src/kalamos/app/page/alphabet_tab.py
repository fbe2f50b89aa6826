"""The tab for an alphabet of one's own: name its characters, draw each a few times, teach, try."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from kalamos.app._gradio import gr
from kalamos.app.page.alphabet_sheets import sheet_pdf, take_sheets
from kalamos.app.page.context import (
    PRIVATE,
    QUIET,
    Context,
    UploadedFile,
    asset_text,
    choices,
    files_input,
    saves_file,
)
from kalamos.app.page.corrections import shown_path, slug, taught_folder
from kalamos.app.page.drawn_alphabet import ROUNDS, DrawnAlphabet, in_rounds, name_characters
from kalamos.app.page.html import (
    answer_html,
    data_uri,
    fit_within,
    glyph_html,
    hint_html,
    problem_html,
    render,
)
from kalamos.app.page.read_tab import PAD_HTML, drawing_bytes
from kalamos.app.page.review_tab import taught_file
from kalamos.app.page.session import Session
from kalamos.errors import KalamosError, OutputError
from kalamos.images import EXTENSIONS, load_grey
from kalamos.recognizer import load

if TYPE_CHECKING:
    from kalamos.finetune import FineTuned

__all__ = ["build_alphabet"]

SAMPLE_PX: Final = 44
"""The longer side of a sample in the list, in px."""

SHOWN_SAMPLES: Final = 6
"""Of a character in the list."""

START: Final = hint_html(
    "Name the characters of your alphabet, then draw each a few times. A reader of them is made in "
    "seconds, on this computer."
)

CLEAR_JS: Final = """() => document.querySelector("#alphabet-pad [data-do=clear]").click()"""
CLEAR_TRY_JS: Final = """() => document.querySelector("#try-pad [data-do=clear]").click()"""

Shown = tuple[str, str, str]
"""What is asked for, the list of samples, and what was said."""


def build_alphabet(context: Context, tab: gr.Tab) -> None:
    """Build the tab."""
    place = shown_path(context, _alphabets(context))
    kept = f"Drawings stay in {place}." if context.local else "Drawings are gone when the visit ends."
    with gr.Row(elem_classes="tight"):
        characters = gr.Textbox(
            label="Characters, one after another; or names, one a line",
            value="",
            placeholder="e.g. αβγδε",
            lines=2,
            max_length=4000,
            elem_id="alphabet-characters",
            scale=3,
        )
        name = gr.Textbox(
            label="Name of the alphabet",
            value="",
            placeholder="e.g. greek",
            max_length=60,
            elem_id="alphabet-name",
        )
        begin = gr.Button("Begin", variant="primary", elem_id="alphabet-begin", min_width=110)
    with gr.Row(elem_classes="two"):
        with gr.Column(min_width=300):
            asked = gr.HTML(START, elem_id="alphabet-asked")
            pad = gr.HTML("", html_template=PAD_HTML, js_on_load=asset_text("pad.js"), elem_id="alphabet-pad")
            with gr.Row(elem_classes="tight"):
                keep = gr.Button("Keep, next", variant="primary", elem_id="alphabet-keep", min_width=120)
                skip = gr.Button("Skip", elem_id="alphabet-skip", min_width=70)
                undo = gr.Button("Undo last", elem_id="alphabet-undo", min_width=100)
            said = gr.HTML(hint_html(kept), elem_id="alphabet-said")
            with gr.Accordion("On paper instead", open=False):
                gr.HTML(
                    hint_html(
                        "Print a sheet of boxes, have people fill it, and drop in scans or photographs."
                    )
                )
                sheet = gr.Button("Download a sheet to print", elem_id="alphabet-sheet")
                scans = files_input(
                    label="Filled sheets: pictures or PDF",
                    file_types=[*sorted(EXTENSIONS), ".pdf"],
                    file_count="multiple",
                    elem_id="alphabet-scans",
                    height=120,
                )
        with gr.Column(min_width=300):
            samples = gr.HTML("", elem_id="alphabet-samples")
            with gr.Row(elem_classes="tight"):
                teach = gr.Button("Teach", variant="primary", elem_id="alphabet-teach", min_width=110)
                save = gr.Button("Download the reader", elem_id="alphabet-download", visible=False)
            lesson = gr.HTML("", elem_id="alphabet-lesson")
            with gr.Column(visible=False) as trial:
                gr.HTML(
                    "<h2>Try it</h2>" + hint_html("Draw one of your characters; the answer appears below.")
                )
                tried = gr.HTML(
                    "", html_template=PAD_HTML, js_on_load=asset_text("pad.js"), elem_id="try-pad"
                )
                answer = gr.HTML("", elem_id="try-answer")

    session, model = context.session, context.model
    shown = [asked, samples, said]
    gr.on(
        [begin.click, name.submit],
        partial(_begin, context),
        [session, characters, name],
        shown,
        **QUIET,
    )
    kept_now = keep.click(partial(_keep, context), [session, pad], shown, **QUIET)
    kept_now.then(None, js=CLEAR_JS, **QUIET)
    skip.click(partial(_change, context, DrawnAlphabet.skip), session, shown, **QUIET)
    undo.click(partial(_change, context, DrawnAlphabet.undo), session, shown, **QUIET)
    tab.select(partial(_restore, context), session, shown, **QUIET)
    taught = teach.click(
        partial(_teach, context),
        session,
        [lesson, model, save, trial],
        show_progress_on=lesson,
        **PRIVATE,
    )
    taught.then(None, js=CLEAR_TRY_JS, **QUIET)
    newest = {**QUIET, "concurrency_limit": 4, "trigger_mode": "always_last"}
    tried.input(partial(_try, context), [session, tried], answer, **newest)
    saves_file(save, "alphabet-model", taught_file, session)
    saves_file(sheet, "alphabet-sheet", _sheet_file, session, said)
    scans.upload(partial(_take, context), [session, scans], [*shown, scans], **PRIVATE)


def _alphabets(context: Context) -> Path:
    return context.corrections_dir / "alphabets"


def _begin(context: Context, visit: Session, characters: str, name: str) -> Shown:
    """Begin an alphabet, or go on with one of that name that lies in the folder."""
    try:
        called = slug(name.strip() or "my-alphabet")
        root = _alphabets(context) if context.local else visit.folder("alphabets")
        visit.alphabet = DrawnAlphabet(called, name_characters(characters), root / called)
    except KalamosError as error:
        return START, "", problem_html(error)
    return *_shown(context, visit.alphabet), hint_html(in_rounds(visit.alphabet.labels))


def _restore(context: Context, visit: Session) -> Shown:
    if visit.alphabet is None or not visit.alphabet.labels:
        return START, "", ""
    return *_shown(context, visit.alphabet), ""


def _keep(context: Context, visit: Session, value: str) -> Shown:
    alphabet = visit.alphabet
    if alphabet is None:
        return START, "", problem_html("name the characters first")
    try:
        image = drawing_bytes(value)
        if image is None:
            return *_shown(context, alphabet), problem_html("nothing is drawn yet")
        label = alphabet.asked
        alphabet.add(image)
    except KalamosError as error:
        return *_shown(context, alphabet), problem_html(error)
    return *_shown(context, alphabet), hint_html(f"Kept as {label}.")


def _sheet_file(visit: Session) -> tuple[str, bytes | None, str]:
    """The sheet's name and content, and what went wrong."""
    if visit.alphabet is None:
        return "", None, problem_html("name the characters first")
    try:
        return f"{visit.alphabet.name}.pdf", sheet_pdf(visit.alphabet), ""
    except KalamosError as error:
        return "", None, problem_html(error)


def _take(
    context: Context, visit: Session, scans: list[UploadedFile]
) -> tuple[str, str, str, list[UploadedFile] | None]:
    """Cut filled sheets; without an alphabet, the sheets say what it is."""
    if visit.alphabet is None:
        root = _alphabets(context) if context.local else visit.folder("alphabets")
        visit.alphabet = DrawnAlphabet("my-alphabet", (), root / "my-alphabet")
    try:
        taken = take_sheets(visit.alphabet, scans or [])
    except KalamosError as error:
        return *_restore(context, visit)[:2], problem_html(error), None
    told = [f"{taken.samples.total():,} samples of {len(taken.samples):,} characters taken."]
    told += [f"{n:,} set aside: {reason}." for reason, n in taken.doubtful.most_common()]
    failed = "".join(problem_html(each) for each in taken.failed)
    return *_restore(context, visit)[:2], hint_html(" ".join(told)) + failed, None


def _change(context: Context, change: Any, visit: Session) -> Shown:
    if visit.alphabet is None:
        return START, "", problem_html("name the characters first")
    undone = change(visit.alphabet)
    return *_shown(context, visit.alphabet), hint_html(f"Took back the last {undone}.") if undone else ""


def _shown(context: Context, alphabet: DrawnAlphabet) -> tuple[str, str]:
    """What to draw next, and the samples so far."""
    counts = alphabet.counts()
    label = alphabet.asked
    done = sum(min(count, ROUNDS) for count in counts.values())
    asked = render(
        "asked",
        glyph=glyph_html(label),
        label=label,
        turn=counts[label] + 1,
        rounds=max(ROUNDS, counts[label] + 1),
        done=f"{done:,}",
        all=f"{ROUNDS * len(alphabet.labels):,}",
        share=done / (ROUNDS * len(alphabet.labels)),
    )
    rows = []
    for each in alphabet.labels:
        pictures = []
        for path in alphabet.samples(each)[-SHOWN_SAMPLES:]:
            try:
                grey = load_grey(path, max_pixels=context.limits.pixels)
            except KalamosError:  # someone put another file there
                continue
            pictures.append(data_uri(fit_within(grey, SAMPLE_PX)))
        rows.append((each, counts[each], pictures))
    return asked, render("samples", rows=rows)


def _teach(
    context: Context,
    visit: Session,
    progress: gr.Progress = gr.Progress(),  # noqa: B008  (how Gradio asks for it)
) -> tuple[str, Any, Any, Any]:
    nothing = gr.skip(), gr.skip(), gr.skip()
    if visit.alphabet is None:
        return problem_html("name the characters first"), *nothing
    try:
        lesson, name, place = teach_alphabet_of(
            context, visit, visit.alphabet, lambda share: progress(share, desc="Learning")
        )
    except KalamosError as error:
        return problem_html(error), *nothing
    chosen = gr.update(choices=choices(visit, context.registry), value=name)
    expected = lesson.expected
    told = render(
        "own_reader",
        name=name,
        examples=f"{lesson.n:,}",
        lacking=[label for label in visit.alphabet.labels if label not in lesson.labels],
        expected=None if expected is None or not expected.n else f"{expected.right} of {expected.n}",
        weak=[] if expected is None else [label for label, *_ in expected.weak],
        alike=lesson.look_alikes,
        place=place,
    )
    return told, chosen, gr.update(visible=True), gr.update(visible=True)


def teach_alphabet_of(
    context: Context, visit: Session, alphabet: DrawnAlphabet, on_progress: Any
) -> tuple[FineTuned, str, str]:
    """Teach the base model an alphabet's samples, and add the reader to the visit's models.

    Returns:
        What was taught, its name in the list of models, and where it lies as the page shows it.

    Raises:
        KalamosError: too few samples, or the disk does not take the file.
    """
    from kalamos.finetune import fine_tune

    folder = taught_folder(context.corrections_dir)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"the folder for taught models cannot be made: {error.strerror}") from None
    lesson = fine_tune("glyphs", alphabet.examples(), name=alphabet.name, on_progress=on_progress)
    taken = {path.stem for path in folder.glob("*.onnx")} | set(visit.model_names(context.registry))
    name = next(
        each
        for each in (alphabet.name, *(f"{alphabet.name}-{number}" for number in range(2, 10_000)))
        if each not in taken
    )
    file = lesson.save(folder / f"{name}.onnx")
    if name not in context.registry:  # which lists the folder where only this computer reaches the page
        name = visit.add_model(context.registry, name, load(file))
    visit.taught, visit.own_reader = file, name
    return lesson, name, shown_path(context, file)


def _try(context: Context, visit: Session, value: str) -> str:
    """Read a drawing with the reader that was taught last."""
    if visit.own_reader is None:
        return ""
    try:
        image = drawing_bytes(value)
        if image is None:
            return ""
        reader = visit.reader(context.registry, visit.own_reader)
        prediction = reader.predict(image, max_pixels=context.limits.pixels)
        prepared = None if prediction.error is not None else reader.prepare(image)
        return answer_html(prediction, prepared)
    except KalamosError as error:
        return problem_html(error)
