"""Pages and forms that were read, and what a person puts right in them: tables, crops, the queue."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path

import cv2
import gradio as gr
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.app.form_helpers import exam, filled, line_of, templates

from kalamos import load
from kalamos.alphabets import DIGITS
from kalamos.app.batching import ModelRegistry
from kalamos.app.errors import Limits
from kalamos.app.page import reading_scans
from kalamos.app.page.box_corrections import correct_box, keep_example, reset_box, settle_field
from kalamos.app.page.context import Context
from kalamos.app.page.form_readings import Doubt, FormsRead
from kalamos.app.page.page_events import check_fields, correct_boxes, keep_asked
from kalamos.app.page.pages_tab import _download, _everything, _read_scans, _turn_to
from kalamos.app.page.reading_scans import read_forms, read_pages, scans_of
from kalamos.app.page.readings import PagesRead, StoredPicture, upright_corners
from kalamos.app.page.session import Session
from kalamos.app.scans import FormRegistry
from kalamos.errors import UsageError
from kalamos.finetune.corrections import Corrections
from kalamos.forms import Field, FormPage, FormTemplate, row_of_boxes
from kalamos.forms.filled import FieldReading, FilledForm, Scan
from kalamos.inputs.item import NamedImage
from kalamos.pages import Box, Cell, Character, Line, Page, PageReader, Word
from kalamos.predictions import Candidate

VALUES = ({"student": "4725", "mark": "97", "passed": "no"}, {"student": "1860", "mark": "88"})


@pytest.fixture(scope="module")
def forms(tmp_path_factory: pytest.TempPathFactory) -> FormRegistry:
    return FormRegistry(templates(tmp_path_factory.mktemp("forms")))


@pytest.fixture
def context(tmp_path: Path, forms: FormRegistry) -> Context:
    return Context(
        ModelRegistry(["digits"]), Limits(), tmp_path / "kept", gr.State(), gr.Dropdown(), forms=forms
    )


@pytest.fixture
def visit() -> Iterator[Session]:
    session = Session()
    yield session
    session.close()


def named(*contents: bytes) -> Iterator[NamedImage]:
    return iter([NamedImage(f"{place}.png", content) for place, content in enumerate(contents, 1)])


def read_line(visit: Session, *texts: str) -> PagesRead:
    read = read_pages(PageReader(load("digits")), "digits", named(*map(line_of, texts)), visit.folder)
    visit.pages = read
    return read


def read_exams(visit: Session, forms: FormRegistry) -> FormsRead:
    scans = named(*(filled(exam(), values) for values in VALUES))
    visit.pages = read = read_forms(forms, "exam", scans, visit.folder)
    return read


def table(read: PagesRead | FormsRead, visit: Session) -> list[dict[str, str]]:
    content = read.export("csv", visit.folder("pages")).decode("utf-8-sig")
    return list(csv.DictReader(io.StringIO(content, newline="")))


def kept(context: Context) -> list[tuple[str | None, str | None]]:
    return [(each.label, each.guess) for each in Corrections(context.corrections_dir / "digits")]


def test_the_table_is_the_commands_until_something_is_corrected(visit: Session, tmp_path: Path) -> None:
    read = read_line(visit, "472", "53")
    pages = [PageReader(load("digits")).read(NamedImage(f"{at}.png", line_of(text))) for at, text in
             ((1, "472"), (2, "53"))]  # fmt: skip
    for number, page in enumerate(pages):
        page.to_csv(tmp_path / f"{number}.csv")
    first, second = ((tmp_path / f"{number}.csv").read_bytes().splitlines(keepends=True) for number in (0, 1))
    assert read.export("csv", tmp_path) == b"".join([*first, *second[1:]])
    read.correct(0, 1, "1")
    read.correct(1, 0, None)
    rows = table(read, visit)
    assert [row["label"] for row in rows] == ["4", "1", "2", "", "3"]
    assert [row["checked"] for row in rows] == ["no", "yes", "no", "yes", "no"]
    assert rows[3]["reason"] == "not a character"
    assert [read.text(view) for view in (0, 1)] == ["412", "3"]
    read.reset(0, 1)
    read.reset(1, 0)
    assert read.export("csv", tmp_path) == b"".join([*first, *second[1:]])
    with pytest.raises(UsageError):
        read.export("xlsx", tmp_path)


def test_a_correction_is_a_single_crop_that_teaching_takes(context: Context, visit: Session) -> None:
    read = read_line(visit, "472")
    assert correct_box(context, visit, read, 0, 1, "1") is None
    assert kept(context) == [("1", "7")]
    [path] = context.corrections_dir.rglob("*.png")
    crop = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    assert load("digits").predict(path).label == "7"  # the very character, and no other one
    box = read.boxes(0)[1].corners
    assert crop is not None
    assert 1 < crop.shape[0] / (box[2][1] - box[0][1]) < 1.4
    assert [(each.model, each.label) for each in visit.examples("digits")] == [("digits", "1")]
    # Said again, it is another label of the same example; as it was read, it is none.
    correct_box(context, visit, read, 0, 1, "9")
    assert kept(context) == [("9", "7")]
    correct_box(context, visit, read, 0, 1, None)
    assert kept(context) == [(None, "7")]
    reset_box(context, visit, read, 0, 1)
    assert (kept(context), visit.kept, read.text(0)) == ([], [], "472")


def test_a_label_that_the_model_lacks_is_asked_about(context: Context, visit: Session) -> None:
    read = read_line(visit, "472")
    assert correct_box(context, visit, read, 0, 1, "Q") == DIGITS
    assert (read.text(0), kept(context), read.asked) == ("4Q2", [], (0, 1))
    keep_asked(context, visit, "Q")
    assert (kept(context), read.asked) == ([("Q", "7")], None)
    # No more while an example of it is kept.
    assert correct_box(context, visit, read, 0, 2, "Q") is None
    assert [label for label, _ in kept(context)] == ["Q", "Q"]
    correct_box(context, visit, read, 0, 0, "W")
    keep_asked(context, visit, nothing=True)
    assert (read.text(0), [label for label, _ in kept(context)]) == ("QQ", ["Q", "Q", None])


@pytest.mark.parametrize("turned", [0, 90, 180, -90])
def test_crops_stand_upright_however_the_page_lies(turned: int, context: Context, visit: Session) -> None:
    page = cv2.imdecode(np.frombuffer(line_of("7"), np.uint8), cv2.IMREAD_GRAYSCALE)
    assert page is not None
    lying = np.ascontiguousarray(np.rot90(page, turned // 90))  # turned clockwise, it stands upright
    ys, xs = np.nonzero(lying < 128)
    box = Box(int(xs.min()), int(ys.min()), int(np.ptp(xs)) + 1, int(np.ptp(ys)) + 1)
    character = Character("1", 0.9, box, (Candidate("1", 0.9),))
    read = PagesRead("digits", DIGITS)
    of = Page((Line((Word((character,)),)),), width=lying.shape[1], height=lying.shape[0], turned=turned)
    read.add(of, StoredPicture.store(lying, visit.folder("pages")))
    keep_example(context, visit, read, 0, 0, "7")
    [path] = context.corrections_dir.rglob("*.png")
    assert load("digits").predict(path).label == "7"


def test_corners_of_a_slightly_turned_box_hold_it() -> None:
    corners = np.array(upright_corners(Box(100, 50, 20, 30), 5))
    assert (corners[:, 0].min() < 100, corners[:, 0].max() > 120) == (True, True)
    assert np.allclose(corners.mean(axis=0), (110, 65))


def test_large_pictures_are_kept_smaller_and_their_boxes_fit(visit: Session) -> None:
    page = cv2.resize(cv2.imdecode(np.frombuffer(line_of("47"), np.uint8), 0), None, fx=16, fy=16)
    picture = StoredPicture.store(page, visit.folder("pages"))
    assert max(picture.load().shape) == 2400
    assert abs(picture.load().shape[1] / page.shape[1] - picture.scale) < 1e-3
    picture.path.unlink()
    with pytest.raises(UsageError, match="not kept any more"):
        picture.load()


def test_a_grids_cells_are_corrected_blank_ones_too(visit: Session) -> None:
    cells = (
        Cell(1, 1, Box(0, 0, 10, 10), Character("7", 0.5, Box(2, 2, 5, 5), (Candidate("7", 0.5),))),
        Cell(1, 2, Box(10, 0, 10, 10), None),
    )
    read = PagesRead("digits", DIGITS)
    read.add(Page(cells=cells, layout="grid", width=20, height=10, path="g.png"), None)
    assert [(each.label, each.doubtful) for each in read.boxes(0)] == [("7", True), ("", False)]
    read.correct(0, 1, "3")
    read.correct(0, 0, None)  # nothing in a cell is a blank, and no shape that is no character
    assert (read.text(0), [each.label for each in read.boxes(0)]) == ("\t3", ["", "3"])
    assert [(row["row"], row["column"], row["label"], row["checked"]) for row in table(read, visit)] == [
        ("1", "1", "", "yes"),
        ("1", "2", "3", "yes"),
    ]


def test_doubtful_fields_wait_in_a_queue_and_go_back_into_the_table(
    context: Context, visit: Session, forms: FormRegistry
) -> None:
    read = read_exams(visit, forms)
    # 97 and 88 break the pattern; the second form has nothing ticked, which it may not.
    assert {Doubt(0, "mark"), Doubt(1, "mark"), Doubt(1, "passed")} <= set(read.doubts)
    waiting = read.waiting()
    settle_field(context, visit, read, Doubt(0, "mark"), "47")
    settle_field(context, visit, read, Doubt(1, "passed"), "yes")
    assert read.waiting() == waiting - 2
    first, second = table(read, visit)
    assert (first["mark"], first["mark status"], first["status"]) == ("47", "ok", "ok")
    assert first["made_by"].endswith("; checked by a person: mark")
    assert (second["passed"], second["passed status"], second["status"]) == ("yes", "ok", "check")
    # The one character that is not as it was read, and no tick.
    assert kept(context) == [("4", "9")]
    [path] = context.corrections_dir.rglob("*.png")
    assert load("digits").predict(path).label == "9"
    assert [each.label for each in read.boxes(0)[4:6]] == ["4", "7"]
    settle_field(context, visit, read, Doubt(0, "mark"), "97")
    assert kept(context) == []


def test_a_workbook_has_pictures_of_what_is_left_to_check(visit: Session, forms: FormRegistry) -> None:
    openpyxl = pytest.importorskip("openpyxl", reason="needs the extra 'forms'")
    read = read_exams(visit, forms)
    read.settle(Doubt(0, "mark"), "31")
    book = openpyxl.load_workbook(io.BytesIO(read.export("xlsx", visit.folder("pages"))))
    rows = list(book["check"].iter_rows(min_row=2, values_only=True))
    assert len(rows) == read.waiting() == len(book["check"]._images)
    assert not list(visit.folder("pages").glob("*.xlsx"))


def test_a_box_put_right_on_the_picture_settles_its_field(
    context: Context, visit: Session, forms: FormRegistry
) -> None:
    read = read_exams(visit, forms)
    view, boxes = read.boxes_of(Doubt(0, "mark"))
    correct_box(context, visit, read, view, boxes[0], "1")
    assert (read.field_text(Doubt(0, "mark")), read.is_settled(Doubt(0, "mark"))) == ("17", True)
    reset_box(context, visit, read, view, boxes[0])
    assert (read.field_text(Doubt(0, "mark")), read.is_settled(Doubt(0, "mark"))) == ("97", False)
    view, boxes = read.boxes_of(Doubt(0, "passed"))
    correct_box(context, visit, read, view, boxes[0], "x")
    assert read.field_text(Doubt(0, "passed")) == "yes, no"
    correct_box(context, visit, read, view, boxes[1], None)
    assert read.field_text(Doubt(0, "passed")) == "yes"
    view, boxes = read.boxes_of(Doubt(0, "room"))
    correct_box(context, visit, read, view, boxes[1], "Q")  # a model without a Q learns none from a form
    assert (read.field_text(Doubt(0, "room")), kept(context)) == ("Q", [])


@pytest.mark.parametrize(
    ("field", "text", "told"),
    [
        ("mark", "31", ""),
        ("mark", "97", "breaks the field's rule"),
        ("mark", "", "not to be blank"),
        ("mark", "1 1", "more than its 2 boxes"),
        ("room", "", ""),
        ("passed", "yes", ""),
        ("passed", "", ""),
        ("passed", "maybe", "maybe is none of yes, no"),
    ],
)
def test_what_a_text_breaks_is_said(
    field: str, text: str, told: str, visit: Session, forms: FormRegistry
) -> None:
    assert told in read_exams(visit, forms).breach(Doubt(0, field), text)


def _written(text: str, *, rtl: bool = False) -> FormsRead:
    """A form of one field, read as a text with a space for each blank box."""
    boxes = row_of_boxes(10, 10, 8, 10, count=len(text), step=10)
    of = Field("name", boxes, direction="rtl" if rtl else "ltr", may_be_blank=True)
    form = FormTemplate("form", (FormPage(200, 50),), (of,))
    shown = text[::-1] if rtl else text
    read = FormsRead(form, {"name": DIGITS})
    reading = FieldReading(
        text.strip(),
        "check",
        0.5,
        boxes=tuple(None if each == " " else Character(each, 0.5, Box(0, 0, 1, 1)) for each in shown),
        corners=tuple(((x, 10.0), (x + 8, 10.0), (x + 8, 20.0), (x, 20.0)) for x, *_ in boxes),
        scan=0,
    )
    read.add(FilledForm({"name": reading}, (Scan("a.png", 1),)), [None])
    return read


@pytest.mark.parametrize(
    ("read", "typed", "changed"),
    [
        ("12345", "12395", {3: "9"}),
        ("123  ", "193", {1: "9"}),
        ("1 3  ", "1 9", {2: "9"}),
        ("123  ", "1293", {}),  # which of its boxes each is in, nobody knows
        ("123  ", "", {0: "", 1: "", 2: ""}),
    ],
)
@pytest.mark.parametrize("rtl", [False, True])
def test_a_text_says_which_characters_are_wrong_where_it_can(
    read: str, typed: str, changed: dict[int, str], *, rtl: bool
) -> None:
    written = _written(read, rtl=rtl)
    last = len(read) - 1
    expected = {last - box if rtl else box: label for box, label in changed.items()}
    assert dict(written.settle(Doubt(0, "name"), typed)) == expected
    assert written.corrected(0).fields["name"].text == typed


@given(st.text("0123456789 ", min_size=1, max_size=6), st.text("0123456789 ", max_size=8), st.booleans())
def test_any_text_is_kept_as_it_is(read: str, typed: str, rtl: bool) -> None:
    written = _written(read, rtl=rtl)
    for box, label in written.settle(Doubt(0, "name"), typed):
        assert 0 <= box < len(read)
        assert label == "" or label in typed
    assert written.field_text(Doubt(0, "name")) == typed
    assert written.corrected(0).fields["name"].status == ("ok" if typed else "blank")


def _event(read: PagesRead | FormsRead, *messages: dict[str, object], sender: str = "a") -> str:
    return json.dumps({"reading": read.number, "from": sender, "messages": messages})


def _by_name(shown: tuple[object, ...]) -> dict[str, object]:
    return dict(zip(("summary", "view", "text", "queue", "saved", "said"), shown, strict=False))


def test_a_message_is_done_once_and_answered(context: Context, visit: Session) -> None:
    read = read_line(visit, "472")
    first = {"id": 1, "view": 0, "box": 0, "do": "label", "label": "1"}
    second = {"id": 2, "view": 0, "box": 2, "do": "label", "label": "5"}
    shown = _by_name(correct_boxes(context, visit, _event(read, first)))
    assert json.loads(str(shown["view"]))["done"] == 1
    reset_box(context, visit, read, 0, 0)
    shown = _by_name(correct_boxes(context, visit, _event(read, first, second)))
    assert (read.text(0), json.loads(str(shown["view"]))["done"]) == ("475", 2)
    assert list(json.loads(str(shown["view"]))["update"]) == ["2"]
    # Another open page counts its own; what another reading was told is not for this one.
    correct_boxes(context, visit, _event(read, first, sender="b"))
    assert read.text(0) == "175"
    old = replace_reading(_event(read, {**second, "id": 3, "label": "8"}), read.number - 1)
    correct_boxes(context, visit, old)
    assert read.text(0) == "175"


def replace_reading(event: str, number: int) -> str:
    return json.dumps({**json.loads(event), "reading": number})


def test_the_queue_takes_what_breaks_a_rule_once_it_is_said_again(
    context: Context, visit: Session, forms: FormRegistry
) -> None:
    read = read_exams(visit, forms)
    at = read.doubts.index(Doubt(0, "mark"))
    message = {"id": 1, "do": "accept", "item": at, "text": " 98 ", "anyway": False}
    shown = _by_name(check_fields(context, visit, _event(read, message)))
    problem = json.loads(str(shown["queue"]))["problem"]
    assert (problem["item"], problem["typed"]) == (at, "98")
    assert "press Enter again" in problem["text"]
    assert not read.is_settled(Doubt(0, "mark"))
    check_fields(context, visit, _event(read, {**message, "id": 2, "anyway": True}))
    assert read.field_text(Doubt(0, "mark")) == "98"
    shown = _by_name(check_fields(context, visit, _event(read, {"id": 3, "do": "want", "item": 0})))
    items = json.loads(str(shown["queue"]))["items"]
    assert all(item["picture"].startswith("data:image/png") for item in items.values())
    assert items[str(at)]["text"] == "98"
    second = read.doubts.index(Doubt(1, "passed"))
    shown = _by_name(check_fields(context, visit, _event(read, {"id": 4, "do": "show", "item": second})))
    assert (read.shown, json.loads(str(shown["view"]))["view"]) == (1, 1)


@pytest.mark.parametrize(
    "message",
    [
        {},
        {"view": 1, "box": 0, "do": "nothing"},
        {"view": 0, "box": 99, "do": "nothing"},
        {"view": -1, "box": 0, "do": "nothing"},
        {"view": True, "box": 0, "do": "nothing"},
        {"view": 0, "box": "0", "do": "nothing"},
        {"view": 0, "box": 0, "do": "label"},
        {"view": 0, "box": 0, "do": "label", "label": "\x00"},
        {"view": 0, "box": 0, "do": "label", "label": "x" * 60},
        {"view": 0, "box": 0, "do": "label", "label": {"a": 1}},
        {"item": 0, "do": "accept", "text": "1"},
    ],
)
def test_messages_that_no_page_sends_change_nothing(
    message: dict[str, object], context: Context, visit: Session
) -> None:
    read = read_line(visit, "472")
    for handler in (correct_boxes, check_fields):
        shown = _by_name(handler(context, visit, _event(read, {"id": 1, **message}, sender=handler.__name__)))
        assert 'role="alert"' in str(shown["said"])
    assert (read.text(0), kept(context)) == ("472", [])


@given(st.one_of(st.none(), st.integers(), st.text(max_size=30), st.just("[" * 5000), st.just("x" * 60_000)))
def test_values_that_no_page_sends_are_refused(value: object) -> None:
    context = Context(ModelRegistry(["digits"]), Limits(), Path("nowhere"), gr.State(), gr.Dropdown())
    with pytest.raises(gr.Error, match="did not arrive whole"):
        correct_boxes(context, Session(), value)  # type: ignore[arg-type]


def test_what_cannot_be_read_is_a_picture_of_its_own(visit: Session, forms: FormRegistry) -> None:
    good = line_of("47")
    read = read_pages(PageReader(load("digits")), "digits", named(good, good[:90], b""), visit.folder)
    assert [view.picture is None for view in read.views] == [False, True, True]
    assert "truncated" in read.views[1].problem
    visit.pages = read
    assert "with errors" in str(_everything(visit)[0])
    _, view, text = _turn_to(visit, 2)
    assert json.loads(view) == {"picture": None}
    assert "truncated" in text
    exams = read_forms(forms, "exam", named(line_of("4"), b"GIF89a"), visit.folder)
    counts = dict(reversed(pair) for pair in exams.counts())
    assert (counts["that do not show the form"], counts["that cannot be read"], exams.doubts) == (1, 1, [])


def test_only_so_many_pages_and_only_while_there_is_room(
    visit: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading_scans, "MAX_PICTURES", 2)
    read = read_line(visit, "4", "7", "2")
    assert ([view.name for view in read.views], "first 2 pages" in read.note) == (["1.png", "2.png"], True)

    def full(name: str) -> Path:
        raise UsageError("this visit holds as much as it may")

    read = read_pages(PageReader(load("digits")), "digits", named(*[line_of("4")] * 9), full)
    assert ("holds as much" in read.note, len(read.views)) == (True, 1)


def test_the_pages_of_a_file_are_pictures_each(visit: Session, tmp_path: Path) -> None:
    from PIL import Image

    pages = [Image.fromarray(cv2.imdecode(np.frombuffer(line_of(text), np.uint8), 0)) for text in ("47", "3")]
    path = tmp_path / "upload.tif"
    pages[0].save(path, save_all=True, append_images=pages[1:])
    (tmp_path / "bad.png").write_bytes(b"\x89PNG")
    uploads = [("scans.tif", path), ("gone.png", tmp_path / "no"), ("bad.png", tmp_path / "bad.png")]
    read = read_pages(PageReader(load("digits")), "digits", scans_of(uploads), visit.folder)
    assert [view.name for view in read.views] == ["scans.tif#1", "scans.tif#2", "gone.png", "bad.png"]
    assert [read.text(view) for view in range(4)] == ["47", "3", "", ""]
    assert not any(str(tmp_path) in view.problem for view in read.views)


def test_the_tab_reads_either_and_forgets_what_was_there(context: Context, visit: Session) -> None:
    def read(kind: str, charset: str = "") -> str:
        scans = named(filled(exam(), VALUES[0]))
        return str(_read_scans(context, visit, "digits", scans, kind, 0, charset)[0])

    assert "<b>1</b> form" in read("form:exam")
    stored = list(visit.folder("pages").iterdir())
    name, document, told = _download("csv", visit)
    assert (name, document is not None, "still say" in told) == ("exam.csv", True, True)
    assert "<b>1</b> page" in read("auto")
    assert not any(path.exists() for path in stored)
    assert _download("csv", visit)[0] == "pages.csv"
    assert "no form is called" in read("form:exan")
    assert "lacks" in read("page", charset="é")
    assert (visit.pages, _download("csv", visit)[1]) == (None, None)
