"""Lists of fields: what people may write, and where the boxes are put."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kalamos.errors import FormError
from kalamos.forms.field_list import parse_fields
from kalamos.forms.layout import PAPERS, layout_fields
from kalamos.forms.template import Box, Field, FormTemplate


def test_a_line_says_name_count_and_properties() -> None:
    fields = {
        field.name: field
        for field in parse_fields(
            """
        # who
        student: 8 digits, luhn
        family name: 20 capitals, may be blank
        room: 1 capital
        seat: 3 characters, model latin-large, charset A B C 1
        note: 2
        رقم: 6 digits, right to left
        الاسم: 12 arabic letters
        code: 4 characters, upper case, pattern [A-F]\\d{1,3}
        time: from: 4 digits
        """
        )
    }
    student = fields["student"]
    assert (len(student.boxes), student.model, student.check, student.kind) == (8, "digits", "luhn", "text")
    assert fields["family name"].charset == "upper"
    assert fields["family name"].may_be_blank
    assert len(fields["room"].boxes) == 1
    assert (fields["seat"].model, fields["seat"].charset) == ("latin-large", "A B C 1")
    assert fields["note"].model == ""
    assert (fields["رقم"].direction, fields["رقم"].model) == ("rtl", "digits")
    assert (fields["الاسم"].direction, fields["الاسم"].model) == ("rtl", "arabic")
    assert (fields["code"].pattern, fields["code"].case) == ("[A-F]\\d{1,3}", "upper")
    assert "time: from" in fields


def test_boxes_to_tick_have_options() -> None:
    one, several = parse_fields("a: tick one of yes | no, or both\nb: tick several of x|y | z, may be blank")
    assert (one.kind, one.options, one.several, one.may_be_blank) == (
        "tick",
        ("yes", "no, or both"),
        False,
        False,
    )
    assert (several.options, several.several, several.may_be_blank) == (("x", "y", "z"), True, True)


def test_a_line_of_dashes_begins_a_page() -> None:
    fields = parse_fields("---\na: 1\n---\n----\nb: 1\nc: 1\n---")
    assert [field.page for field in fields] == [1, 2, 2]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "the list names no field; write one a line"),
        ("# only this", "the list names no field"),
        ("a: 1\nstudent", "line 2: 'student' says no field; write a name, a colon and a count"),
        ("student: many digits", "line 1: 'student: many digits' says no field"),
        ("student: 0 digits", "line 1: field 'student' has 0 boxes"),
        ("student: 99999 digits", "field 'student' has 99999 boxes"),
        ("student: 8 digitss", "8 of 'digitss' is unknown; did you mean 'digits'?"),
        ("student: 8 digits, check luhn", "'check luhn' is unknown; choose from: charset ABC, date, iban"),
        ("student: 8 digits, may be blanc", "'may be blanc' is unknown; did you mean 'may be blank'?"),
        ("a: tick", "field 'a': 'tick' names no options; write `tick one of yes | no`"),
        ("a: tick one of x | | y", "field 'a' has an option without text"),
        ("a: tick one of x | x", "field 'a' has the same option twice"),
        ("a: 1\na: 2", "line 2: two fields are called 'a'"),
        (": 3 digits", "line 1: a field has no name"),
    ],
)
def test_what_is_no_field_is_refused_with_its_line(text: str, words: str) -> None:
    with pytest.raises(FormError) as caught:
        parse_fields(text)
    assert words in str(caught.value)


@given(st.text(alphabet=st.sampled_from("ab:1 9,|#-\ntick one of several digits²١"), max_size=60))
def test_any_text_is_a_list_or_is_refused(text: str) -> None:
    try:
        fields = parse_fields(text)
    except FormError:
        return
    assert fields
    assert all(field.name and field.boxes for field in fields)


def overlapping(form: FormTemplate) -> list[tuple[Box, Box]]:
    found = []
    for page in range(1, len(form.pages) + 1):
        boxes = [box for field in form.fields if field.page == page for box in field.boxes]
        boxes += [
            Box(marker.x, marker.y, marker.size, marker.size) for marker in form.pages[page - 1].markers
        ]
        found += [
            (one, other)
            for number, one in enumerate(boxes)
            for other in boxes[:number]
            if one.x < other.x + other.width
            and other.x < one.x + one.width
            and one.y < other.y + other.height
            and other.y < one.y + one.height
        ]
    return found


counts = st.lists(st.integers(1, 60), min_size=1, max_size=25)


@given(counts, st.sampled_from(["A4", "letter"]), st.booleans())
def test_fields_never_overlap_nor_leave_the_paper(sizes: list[int], paper: str, rtl: bool) -> None:
    fields = [
        Field(f"field {number}", (Box(0, 0, 1, 1),) * size, direction="rtl" if rtl else "ltr")
        for number, size in enumerate(sizes)
    ]
    form = layout_fields(fields, paper=paper)  # type: ignore[arg-type]
    width, height = PAPERS[paper]  # type: ignore[index]
    assert [len(field.boxes) for field in form.fields] == sizes
    assert not overlapping(form)
    for field in form.fields:
        assert all(box.x >= 10 and box.x + box.width <= width - 10 for box in field.boxes)
        assert all(box.y >= 30 and box.y + box.height <= height - 20 for box in field.boxes)
    assert FormTemplate.from_toml(form.to_toml()) == form


def test_a_long_field_goes_on_in_the_next_line_as_it_is_written() -> None:
    left, right = layout_fields(parse_fields("a: 25 capitals\nb: 25 arabic letters")).fields
    assert left.boxes[0].y < left.boxes[-1].y  # the first box is in the first line
    assert right.boxes[-1].y < right.boxes[0].y  # writing begins in the last box, in the first line
    assert right.boxes[-1].x == max(box.x for box in right.boxes)
    assert all(
        one.x < other.x or one.y > other.y for one, other in zip(right.boxes, right.boxes[1:], strict=False)
    )


def test_short_fields_share_a_line_and_long_names_keep_apart() -> None:
    form = layout_fields(
        parse_fields("a: 2 digits\nb: 2 digits\na name of many words that takes room: 1 digit\nc: 1 digit")
    )
    a, b, long, c = form.fields
    assert a.boxes[0].y == b.boxes[0].y
    assert a.boxes[-1].x + 10 < b.boxes[0].x
    assert c.boxes[0].y > long.boxes[0].y or c.boxes[0].x > long.boxes[0].x + 50


def test_pages_follow_and_have_markers_of_their_own() -> None:
    form = layout_fields(parse_fields("\n".join(f"line {number}: 18 digits" for number in range(30))))
    assert len(form.pages) == 3
    assert [field.page for field in form.fields] == sorted(field.page for field in form.fields)
    ids = [marker.id for page in form.pages for marker in page.markers]
    assert ids == list(range(12))


def test_what_no_paper_holds_is_refused() -> None:
    with pytest.raises(FormError, match="field 'a' of 400 boxes is larger than a page; make several fields"):
        layout_fields(parse_fields("a: 400 digits"))
    with pytest.raises(FormError, match="has 20 pages, and markers are for 12"):
        layout_fields(parse_fields("\n---\n".join(f"f{number}: 1" for number in range(20))))
    with pytest.raises(FormError, match="there is no paper 'A5'; choose from: A4, letter"):
        layout_fields(parse_fields("a: 1"), paper="A5")  # type: ignore[arg-type]
