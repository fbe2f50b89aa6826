"""Form templates: what is kept, what is refused, and in which words."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kalamos.errors import FormError
from kalamos.forms.template import Box, Field, FormPage, FormTemplate, Marker, row_of_boxes

TOML = """\
format = 1
name = "exam"
[[page]]
width = 1654
height = 2339
image = "exam.png"
markers = [{ id = 3, x = 60, y = 60, size = 80 }]
[[field]]
name = "student"
boxes = { x = 200, y = 300, width = 60, height = 70, count = 8, step = 66 }
check = "luhn"
[[field]]
name = "answer"
kind = "tick"
boxes = [[200, 500, 40, 40], [300, 500.5, 40, 40]]
options = ["yes", "no"]
"""


def test_a_template_says_where_each_box_lies() -> None:
    form = FormTemplate.from_toml(TOML)
    student, answer = form.fields
    assert len(student.boxes) == 8
    assert student.boxes[7] == Box(200 + 7 * 66, 300, 60, 70)
    assert answer.boxes[1].y == 500.5
    assert form.pages[0].markers == (Marker(3, 60, 60, 80),)
    assert (form.name, form.model, student.check, answer.options) == ("exam", "digits", "luhn", ("yes", "no"))


def test_it_is_saved_and_loaded_again_with_its_folder(tmp_path: Path) -> None:
    form = FormTemplate.from_toml(TOML)
    path = tmp_path / "استمارة" / "form.toml"
    path.parent.mkdir()
    form.save(path)
    loaded = FormTemplate.load(path)
    assert loaded == form
    assert loaded.folder == str(path.parent)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('name = "exam"', "", "a form has no name"),
        ("format = 1", "format = 2", "format = 2 where this kalamos reads 1; is it a form template"),
        ("count = 8", "cuont = 8", "field 'student': boxes has no 'cuont'; did you mean 'count'?"),
        ("count = 8", "count = 0", "count = 0 is not between 1 and"),
        ("count = 8", "count = 80", "box 23 of field 'student' lies outside its page"),
        ('check = "luhn"', "check = 3", "field 'student': check = 3 is not a text"),
        ('check = "luhn"', 'chek = "luhn"', "field 'student' has no 'chek'; did you mean 'check'?"),
        ('check = "luhn"', "page = 2", "field 'student' is on page 2 of 1"),
        ('check = "luhn"', "page = true", "page = True is not a whole number"),
        ('check = "luhn"', 'charset = ["0", "1"]', "8 boxes and 2 charsets"),
        ('check = "luhn"', 'options = ["a"]', 'options but no boxes to tick; set kind = "tick"'),
        ('kind = "tick"', 'kind = "tik"', "kind = 'tik' is unknown; did you mean 'tick'?"),
        ('"yes", "no"', '"yes"', "2 boxes to tick and 1 options"),
        ('"yes", "no"', '"yes", "yes"', "the same option twice"),
        ('name = "answer"', 'name = "student"', "two fields are called 'student'"),
        ("width = 1654", "width = nan", "width = nan is not a number"),
        ("width = 1654", "width = -3", "is no page"),
        ("id = 3", "id = 50", "a marker's number is not one of 0 to 49"),
        ("[[200, 500, 40, 40], ", "[[200, 500, 40], ", "boxes are neither a row nor a list"),
        ("40, 40]]", "40, 0]]", "has a box without area"),
        ("[[field]]", "[field]", "is not TOML"),
    ],
)
def test_what_is_wrong_is_said(old: str, new: str, words: str) -> None:
    assert old in TOML
    with pytest.raises(FormError) as caught:
        FormTemplate.from_toml(TOML.replace(old, new, 1))
    assert words in str(caught.value)


def test_a_file_that_is_no_template_is_named(tmp_path: Path) -> None:
    absent = tmp_path / "no.toml"
    with pytest.raises(FormError, match=r"no\.toml: cannot be read \(No such file"):
        FormTemplate.load(absent)
    binary = tmp_path / "form.toml"
    binary.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(FormError, match=r"form\.toml: is no text in UTF-8"):
        FormTemplate.load(binary)


@given(st.text(max_size=200))
def test_any_text_is_a_template_or_refused(text: str) -> None:
    for content in (text, "format = 1\n" + text, TOML + text):
        try:
            form = FormTemplate.from_toml(content)
        except FormError:
            continue
        assert FormTemplate.from_toml(form.to_toml()) == form


numbers = st.floats(0, 1000).map(lambda number: round(number, 3))
boxes = st.lists(
    st.builds(Box, numbers, numbers, st.floats(0.01, 50), st.floats(0.01, 50)), min_size=1, max_size=6
).map(tuple)


@given(name=st.text(min_size=1).filter(str.strip), pattern=st.text(), at=boxes, options=st.booleans())
def test_whatever_is_saved_is_read_again(name: str, pattern: str, at: tuple[Box, ...], options: bool) -> None:
    pages = (FormPage(2000, 2000), FormPage(3, 4.5, "x.png"))
    first = Field(
        name, at, pattern=pattern, may_be_blank=options, case="upper", charset=("digits",) * len(at)
    )
    second = replace(
        first, name=name + "2", boxes=row_of_boxes(0.1, 0.2, 7.3, 9, count=5, step=7.7), charset=""
    )
    form = FormTemplate(name, pages, (first, second), model="latin")
    assert FormTemplate.from_toml(form.to_toml()) == form
