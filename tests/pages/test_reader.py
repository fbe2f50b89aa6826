"""Pages of many characters: what is read, in which order, and what is not read as nonsense."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

import kalamos
from kalamos.errors import CorruptImageError, UsageError
from kalamos.pages import Page, PageReader
from kalamos.pages.ink_map import in_even_light, writing_height
from kalamos.pages.levelling import levelled, slant_of
from kalamos.pages.looks import evidence_of
from kalamos.pages.page import Box, Character
from kalamos.pages.parts import Part
from kalamos.pages.reader import is_right_to_left
from kalamos.pages.writing import parts_of_writing
from kalamos.predict_options import PredictOptions

Grey = NDArray[np.uint8]


def paper(height: int, width: int) -> Grey:
    """White paper in light that falls off to the right, with a little grain."""
    light = np.linspace(238, 190, width, dtype=np.float32)[np.newaxis].repeat(height, axis=0)
    grain = np.random.default_rng(7).normal(0, 2, (height, width))
    return np.clip(light + grain, 0, 255).astype(np.uint8)


def write(page: Grey, text: str, x: int, y: int, size: float = 2.0, pitch: int = 62) -> None:
    for place, sign in enumerate(text):
        at = (x + round(place * pitch * size / 2), y)
        cv2.putText(
            page, sign, at, cv2.FONT_HERSHEY_SIMPLEX, size, 45, max(2, round(2.2 * size)), cv2.LINE_AA
        )


@pytest.fixture(scope="module")
def reader() -> PageReader:
    return PageReader(kalamos.load("digits"))


@pytest.fixture(scope="module")
def three_lines() -> Grey:
    page = paper(520, 640)
    write(page, "27463", 60, 130)
    write(page, "3825", 60, 270)
    write(page, "94", 60, 410)
    write(page, "67", 330, 410)
    return page


def test_lines_are_read_from_top_to_bottom_and_gaps_are_spaces(reader: PageReader, three_lines: Grey) -> None:
    page = reader.read_image(three_lines)
    assert page.text == "27463\n3825\n94 67"
    assert [len(line.words) for line in page.lines] == [1, 1, 2]
    assert page.error is None
    assert page.layout == "page"


def test_boxes_lie_around_the_ink(reader: PageReader, three_lines: Grey) -> None:
    boxes = [character.box for character in reader.read_image(three_lines).lines[0].words[0].characters]
    for place, box in enumerate(boxes):
        left = 60 + 62 * place
        assert left - 8 <= box.x <= left + 14
        assert 20 <= box.width <= 56
        assert 80 <= box.y <= 95
        assert 35 <= box.height <= 60


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_pages_that_lie_sideways_or_upside_down_are_righted(
    reader: PageReader, three_lines: Grey, quarters: int
) -> None:
    page = reader.read_image(np.ascontiguousarray(np.rot90(three_lines, quarters)))
    assert page.text == "27463\n3825\n94 67"
    assert abs(abs(page.turned) - 90 * min(quarters, 4 - quarters)) < 2
    height, width = three_lines.shape if quarters == 2 else three_lines.shape[::-1]
    assert (page.height, page.width) == (height, width)
    # The boxes are of the picture as it was given.
    first = page.lines[0].words[0].characters[0].box
    corner = {1: (80, 640 - 60 - 40), 2: (640 - 100, 520 - 130), 3: (520 - 130, 60)}[quarters]
    assert abs(first.x - corner[0]) < 25
    assert abs(first.y - corner[1]) < 25


@pytest.mark.parametrize("degrees", [-14, -5, 6, 15])
def test_skew_is_taken_away(reader: PageReader, three_lines: Grey, degrees: float) -> None:
    height, width = three_lines.shape
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 0.8)
    skewed = cv2.warpAffine(three_lines, turn, (width, height), borderMode=cv2.BORDER_REPLICATE)
    page = reader.read_image(np.asarray(skewed, np.uint8))
    assert page.text == "27463\n3825\n94 67"
    assert page.turned == pytest.approx(degrees, abs=2.5)


def test_ruled_lines_are_no_writing(reader: PageReader, three_lines: Grey) -> None:
    ruled = three_lines.copy()
    for y in range(30, 520, 35):
        cv2.line(ruled, (0, y), (640, y), 180, 1)
    assert reader.read_image(ruled).text == "27463\n3825\n94 67"


@pytest.mark.parametrize("degrees", [-27, -13, 12, 19])
def test_a_ruled_page_that_lies_askew_is_read_as_a_level_one(reader: PageReader, degrees: float) -> None:
    sheet = np.full((1800, 1400), 245, np.uint8)
    for y in range(60, 1800, 55):
        cv2.line(sheet, (0, y), (1400, y), 165, 2, cv2.LINE_AA)
    cv2.line(sheet, (150, 0), (150, 1800), 165, 2, cv2.LINE_AA)
    texts = ["8573805", "252353", "521727627", "91108439"]
    for number, text in enumerate(texts):
        write(sheet, text, 190 + 30 * number, 170 + 110 * number, 1.4, 62)
    turn = cv2.getRotationMatrix2D((700, 900), degrees, 1.0)
    turn[:, 2] += 450, 250
    scan = cv2.warpAffine(sheet, turn, (2300, 2300), flags=cv2.INTER_LINEAR, borderValue=252)
    page = reader.read_image(np.asarray(scan, np.uint8))
    assert page.text.split("\n") == texts
    assert page.turned == pytest.approx(degrees, abs=1.5)
    assert (page.height, page.width) == scan.shape
    first = page.lines[0].words[0].characters[0].box
    middle = turn @ (190 + 14, 170 - 14, 1)
    assert np.hypot(first.x + first.width / 2 - middle[0], first.y + first.height / 2 - middle[1]) < 12


@pytest.mark.parametrize("degrees", [-13.0, 5.0, 12.0])
def test_squared_paper_is_levelled_by_pieces_of_lines_between_its_crossings(degrees: float) -> None:
    sheet = np.full((1600, 1200), 245, np.uint8)
    for place in range(20, 1600, 39):
        cv2.line(sheet, (0, place), (1199, place), 195, 2, cv2.LINE_AA)
        cv2.line(sheet, (place, 0), (place, 1599), 195, 2, cv2.LINE_AA)
    turn = cv2.getRotationMatrix2D((600, 800), -degrees, 1.0)
    turn[:, 2] += 250, 250
    scan = cv2.warpAffine(sheet, turn, (1700, 2100), flags=cv2.INTER_LINEAR, borderValue=252)
    assert slant_of(np.asarray(scan, np.uint8)) == pytest.approx(degrees, abs=0.3)


def test_a_page_full_of_writing_has_no_direction() -> None:
    page = paper(1500, 1100)
    for row in range(16):
        write(page, "14774117417", 40, 90 + 88 * row, 1.6, 60)
    turn = cv2.getRotationMatrix2D((550, 750), 8, 1.0)
    assert slant_of(np.asarray(cv2.warpAffine(page, turn, (1100, 1500), borderValue=220), np.uint8)) == 0.0


def test_a_level_ruled_page_and_one_without_lines_are_not_turned(three_lines: Grey) -> None:
    ruled = three_lines.copy()
    for y in range(30, 520, 35):
        cv2.line(ruled, (0, y), (640, y), 120, 2)
    assert slant_of(ruled) == slant_of(three_lines) == 0.0


@given(hnp.arrays(np.uint8, hnp.array_shapes(min_dims=2, max_dims=2, max_side=50)), st.floats(-40, 40))
def test_levelling_tells_where_its_pixels_are_on_the_page(image: Grey, slant: float) -> None:
    assert -40 <= slant_of(image) <= 40
    level, to_page = levelled(image, slant)
    middle = to_page @ ((level.shape[1] - 1) / 2, (level.shape[0] - 1) / 2, 1)
    assert middle == pytest.approx(((image.shape[1] - 1) / 2, (image.shape[0] - 1) / 2))


@pytest.mark.parametrize("size", [0.8, 1.4, 4.0])
def test_writing_of_any_size_is_found(reader: PageReader, size: float) -> None:
    page = paper(round(170 * size), round(240 * size))
    write(page, "3725", round(30 * size), round(60 * size), size)
    write(page, "496", round(30 * size), round(130 * size), size)
    assert reader.read_image(page).text == "3725\n496"


JOINED = ["4826", "30957", "61748", "25093"]


def joined_digits(*, squared: bool, table: bool) -> Grey:
    """Lines of digits that touch, on plain or squared paper, scanned or photographed on a dark table."""
    page = np.full((1600, 1200), 225, np.uint8)
    if squared:
        for place in range(20, 1600, 39):
            cv2.line(page, (0, place), (1199, place), 190, 2, cv2.LINE_AA)
            cv2.line(page, (place, 0), (place, 1599), 190, 2, cv2.LINE_AA)
    for row, text in enumerate(JOINED):
        x = 140.0
        for digit in text:
            place = round(x), 260 + 110 * row
            cv2.putText(page, digit, place, cv2.FONT_HERSHEY_SIMPLEX, 1.5, 50, 3, cv2.LINE_AA)
            x += 0.74 * cv2.getTextSize(digit, cv2.FONT_HERSHEY_SIMPLEX, 1.5, 3)[0][0]
    if table:
        ends = np.array([[0, 0], [1199, 0], [1199, 1599], [0, 1599]], np.float32)
        there = np.array([[90, 130], [1310, 90], [1250, 1690], [60, 1650]], np.float32)
        onto = np.full((1800, 1400), 70, np.uint8)
        mode = cv2.BORDER_TRANSPARENT
        warp = cv2.getPerspectiveTransform(ends, there)
        cv2.warpPerspective(page, warp, (1400, 1800), dst=onto, borderMode=mode)
        page = onto
    grain = np.random.default_rng(0).normal(0, 3, page.shape)
    return np.clip(cv2.GaussianBlur(page, (0, 0), 1) + grain, 0, 255).astype(np.uint8)


@pytest.mark.parametrize(("squared", "table"), [(False, False), (True, False), (True, True)])
def test_digits_that_touch_tell_how_large_a_page_s_writing_is(squared: bool, table: bool) -> None:
    """No single digit stands alone, and at other scales the paper is many 1s."""
    page = kalamos.read(joined_digits(squared=squared, table=table), layout="page")
    assert page.text.split("\n") == JOINED


@pytest.mark.parametrize("shape", [(1, 3000), (3000, 1), (2, 9000), (5, 2500)])
@pytest.mark.parametrize("level", [0, 200])
def test_a_strip_of_a_page_has_no_lines(shape: tuple[int, int], level: int) -> None:
    for layout in ("auto", "page", "line", "grid"):
        assert kalamos.read(np.full(shape, level, np.uint8), layout=layout).text == ""


def test_squared_paper_is_no_table_where_writing_goes_across_its_squares(reader: PageReader) -> None:
    page = reader.read_image(joined_digits(squared=True, table=False))
    assert page.layout == "page"
    assert page.text.split("\n") == JOINED
    asked = kalamos.read(joined_digits(squared=True, table=False), layout="grid")
    assert asked.layout == "grid"
    assert len(asked.cells) > 500


def test_a_table_is_one_however_few_of_its_cells_are_filled(reader: PageReader) -> None:
    table = np.full((700, 700), 230, np.uint8)
    for place in range(50, 651, 60):
        cv2.line(table, (50, place), (650, place), 90, 2)
        cv2.line(table, (place, 50), (place, 650), 90, 2)
    assert reader.read_image(table).layout == "grid"
    write(table, "4", 64, 98, size=1.2)
    write(table, "7", 424, 458, size=1.2)
    page = reader.read_image(table)
    assert page.layout == "grid"
    assert (page.grid[0][0], page.grid[6][6]) == ("4", "7")
    assert sum(map(bool, (label for row in page.grid for label in row))) == 2


def test_ground_is_made_even_and_ink_stays(three_lines: Grey) -> None:
    shadowed = three_lines.copy()
    shadowed[:, 300:] = (shadowed[:, 300:] * 0.5).astype(np.uint8)
    even = in_even_light(shadowed)
    assert even.shape == shadowed.shape
    assert abs(int(np.median(even[:, :280])) - int(np.median(even[:, 320:]))) < 6
    inked = three_lines < 100
    assert np.median(even[inked]) < 0.45 * np.median(even[~inked])


@given(hnp.arrays(np.uint8, hnp.array_shapes(min_dims=2, max_dims=2, max_side=60)))
def test_light_of_any_picture_can_be_made_even(image: Grey) -> None:
    even = in_even_light(image)
    assert (even.shape, even.dtype) == (image.shape, np.uint8)


def test_bars_speak_for_no_scale_and_doubts_against_it() -> None:
    digits = [Character("4", 0.9, Box(60 * place, 0, 30, 40), known=1.0) for place in range(6)]
    bars = [Character("1", 0.9, Box(60 * place, 0, 8, 40), known=1.0) for place in range(50)]
    doubtful = [Character("4", 0.2, Box(60 * place, 0, 30, 40), known=1.0) for place in range(6)]
    assert evidence_of(digits) == pytest.approx((5.4, 4.8))
    assert evidence_of(bars)[0] == 0
    assert evidence_of([*digits, *bars])[1] < evidence_of(digits)[1]
    assert evidence_of([*digits, *doubtful])[1] < evidence_of(digits)[1]
    assert evidence_of([]) == (0, 0)


def test_dust_that_a_nearer_look_shows_does_not_tell_the_height_of_writing() -> None:
    mask = np.zeros((400, 600), np.uint8)
    for place in range(10):
        cv2.rectangle(mask, (20 + 40 * place, 100), (36 + 40 * place, 138), 255, 2)
    for place in range(200):
        cv2.circle(mask, (10 + place % 50 * 12, 200 + place // 50 * 40), 4, 255, -1)
    assert writing_height(mask, 38) == pytest.approx(41, abs=2)
    # Nothing is about as high as was expected: all counts.
    assert writing_height(mask, 300) == writing_height(mask)


def test_light_ink_on_dark_ground_is_read_too(reader: PageReader, three_lines: Grey) -> None:
    assert reader.read_image(np.asarray(255 - three_lines, np.uint8)).text == "27463\n3825\n94 67"


def test_signs_between_digits_are_told_by_shape_and_place(reader: PageReader) -> None:
    page = paper(420, 560)
    for row, sign in enumerate(",.:-"):
        write(page, "7", 60, 90 + 95 * row)
        write(page, "52", 160, 90 + 95 * row)
        y = 90 + 95 * row
        if sign == ",":
            cv2.line(page, (130, y - 4), (124, y + 12), 45, 5, cv2.LINE_AA)
        elif sign == ".":
            cv2.circle(page, (130, y - 3), 4, 45, -1, cv2.LINE_AA)
        elif sign == ":":
            cv2.circle(page, (130, y - 8), 4, 45, -1, cv2.LINE_AA)
            cv2.circle(page, (130, y - 30), 4, 45, -1, cv2.LINE_AA)
        else:
            cv2.line(page, (120, y - 22), (142, y - 22), 45, 5, cv2.LINE_AA)
    assert reader.read_image(page).text == "7,52\n7.52\n7:52\n7-52"


def test_a_slash_leans_and_reaches_beyond_the_digits(
    reader: PageReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = paper(160, 420)
    write(page, "12", 40, 100)
    cv2.line(page, (196, 42), (166, 116), 45, 5, cv2.LINE_AA)
    write(page, "57", 215, 100)
    assert reader.read_image(page).text == "12/57"
    monkeypatch.setattr("kalamos.pages.digit_lines.MIN_SIGN_LOG", 1.0)  # its shape alone tells it
    assert reader.read_image(page).text == "12/57"
    monkeypatch.setattr("kalamos.pages.reader.MIN_SLASH_SHARE", 1.1)  # the line as a whole says no
    assert reader.read_image(page).text == "12157"


def test_one_line_is_one_line_whatever_its_ups_and_downs(three_lines: Grey) -> None:
    page = paper(300, 560)
    for place, sign in enumerate("27463"):
        write(page, sign, 60 + 90 * place, 90 + 40 * place)
    line = PageReader(kalamos.load("digits"), layout="line").read_image(page)
    assert [character.label for character in line.characters] == list("27463")
    assert len(line.lines) == 1
    assert line.layout == "line"


def test_blank_pages_have_no_lines(reader: PageReader) -> None:
    for blank in (paper(300, 400), np.full((300, 400), 7, np.uint8), np.zeros((1, 1), np.uint8)):
        page = reader.read_image(blank)
        assert (page.text, page.lines, page.error) == ("", (), None)


def test_arabic_is_read_from_the_right() -> None:
    assert is_right_to_left(kalamos.load("arabic").labels)
    assert not is_right_to_left(kalamos.load("latin").labels)
    page = paper(160, 420)
    # ا and ل: two strokes that a child can draw; the first letter stands on the right.
    cv2.line(page, (330, 30), (330, 110), 45, 6, cv2.LINE_AA)
    points = np.array([[140, 25], [140, 100], [128, 118], [100, 120], [88, 105]])
    cv2.polylines(page, [points], isClosed=False, color=45, thickness=6, lineType=cv2.LINE_AA)
    read = kalamos.read(page, model="arabic")
    labels = [character.label for character in read.characters]
    assert labels == ["ا", "ل"]
    assert read.characters[0].box.x > read.characters[1].box.x


def test_a_charset_and_a_threshold_hold_for_each_character(three_lines: Grey) -> None:
    page = kalamos.read(three_lines, charset="0 2 4 6 8", min_confidence=0.999999)
    assert {character.candidates[0].label for character in page.characters} <= set("02468")
    withheld = [character for character in page.characters if character.label is None]
    assert withheld
    assert {character.reason for character in withheld} == {"not sure enough"}
    assert page.text.count("2") == sum(character.label == "2" for character in page.characters)


def test_what_cannot_be_read_is_an_error_or_a_page_with_one(reader: PageReader) -> None:
    with pytest.raises(CorruptImageError):
        kalamos.read(b"\x89PNG\r\n\x1a\nbroken")
    page = reader.try_read(b"\x89PNG\r\n\x1a\nbroken")
    assert isinstance(page.error, CorruptImageError)
    assert page.lines == ()
    with pytest.raises(UsageError, match="layout = 'gird' is unknown; did you mean 'grid'"):
        kalamos.read(paper(100, 100), layout="gird")  # type: ignore[arg-type]


def test_a_stream_keeps_its_order_and_its_bad_pages(reader: PageReader, tmp_path: object) -> None:
    from kalamos.inputs import NamedImage

    pages = []
    for number in range(6):
        page = paper(120, 200)
        write(page, str(number + 2), 60, 90)
        pages.append(NamedImage(f"{number}.png", cv2.imencode(".png", page)[1].tobytes()))
    pages.insert(3, NamedImage("bad.png", b"no image"))
    read = list(reader.read_files(pages, jobs=3))
    assert [page.path for page in read] == ["0.png", "1.png", "2.png", "bad.png", "3.png", "4.png", "5.png"]
    assert [page.text for page in read] == ["2", "3", "4", "", "5", "6", "7"]
    assert read[3].error is not None


@settings(max_examples=25, deadline=None)
@given(
    hnp.arrays(np.uint8, st.tuples(st.integers(1, 70), st.integers(1, 90)), elements=st.integers(0, 255)),
)
def test_any_picture_gives_a_page(image: Grey) -> None:
    page = PageReader(kalamos.load("digits")).read_image(image)
    assert isinstance(page, Page)
    for character in page.characters:
        box = character.box
        assert 0 <= box.x < box.x + box.width <= image.shape[1]
        assert 0 <= box.y < box.y + box.height <= image.shape[0]
        assert 0 <= character.confidence <= 1
    page.render()


@pytest.fixture(scope="module")
def capitals() -> PageReader:
    return PageReader(kalamos.load("latin-large"), PredictOptions(charset="upper"))


@pytest.fixture(scope="module")
def letters() -> Grey:
    page = paper(420, 700)
    write(page, "HERMAN", 60, 130, pitch=84)
    write(page, "KLTVXY", 60, 290, pitch=84)
    return page


def test_dust_all_over_a_page_is_no_part_of_its_letters(capitals: PageReader, letters: Grey) -> None:
    clean = capitals.read_image(letters)
    page, generator = letters.copy(), np.random.default_rng(5)
    for x, y in generator.integers((0, 0), (700, 420), (160, 2)).tolist():
        cv2.circle(page, (x, y), 1, 60, -1, cv2.LINE_AA)
    dusty = capitals.read_image(page)
    assert dusty.text.replace(" ", "") == clean.text == "HERMAN\nKLTVXY"
    grown = [
        after.box.height - before.box.height > 0.25 * before.box.height
        for before, after in zip(clean.characters, dusty.characters, strict=True)
    ]
    assert sum(grown) <= 1  # two specks that touch are larger than dust


def test_more_specks_than_characters_do_not_tell_how_high_writing_is(reader: PageReader) -> None:
    page = np.full((1600, 1200), 250, np.uint8)
    texts = ["740551", "616", "6168", "3914", "66179"]
    for number, text in enumerate(texts):
        write(page, text, 100, 150 + 110 * number, 1.4, 62)
    rng = np.random.default_rng(5)
    for x, y in rng.integers((0, 700), (1200, 1600), (250, 2)):
        cv2.circle(page, (int(x), int(y)), int(rng.integers(2, 4)), 60, cv2.FILLED)
    read = [line.text for line in reader.read_image(page).lines]
    assert [text for text in texts if text in read] == texts


def test_dots_are_no_dust_where_the_rest_of_the_page_is_clean(reader: PageReader) -> None:
    page = paper(400, 640)
    write(page, "27.5", 60, 120)
    write(page, "3.82", 60, 240)
    assert reader.read_image(page).text == "27.5\n3.82"


def test_a_shadow_over_half_a_page_takes_no_letter(capitals: PageReader, letters: Grey) -> None:
    shade = np.clip((np.arange(420) - 180) / 30, 0, 1)[:, None]
    page = np.clip(letters * (1 - 0.3 * shade), 0, 255).astype(np.uint8)
    assert capitals.read_image(page).text == "HERMAN\nKLTVXY"


def test_the_table_around_a_page_is_no_letter(capitals: PageReader, letters: Grey) -> None:
    table = np.random.default_rng(5).normal(70, 8, (600, 1000))
    page = np.clip(table, 0, 255).astype(np.uint8)
    page[90:510, 150:850] = letters
    assert capitals.read_image(page).text == "HERMAN\nKLTVXY"


def test_no_letter_is_cut_in_two_and_two_that_touch_are(capitals: PageReader) -> None:
    page = paper(300, 700)
    write(page, "WNUVH", 40, 150, size=3, pitch=76)
    assert capitals.read_image(page).text.replace(" ", "") == "WNUVH"
    joined = paper(300, 700)
    write(joined, "HE", 80, 160, size=3, pitch=36)
    assert capitals.read_image(joined).text == "HE"


def test_beside_writing_a_line_without_a_likely_character_is_none(capitals: PageReader) -> None:
    # Above the sheet, where it meets the table, the ink finder sees a stroke.
    page = capitals.read("samples-pages/letters.jpg")
    assert page.text == "THE QUICK BROWN\nFOX JUMPS OVER\nA LAZY DOG"


def test_faint_specks_on_a_crop_that_is_all_beside_its_letter_are_no_dust_of_the_page() -> None:
    letter = Part(Box(8, 8, 30, 40), np.full((40, 30), 255, np.uint8))
    specks = [Part(Box(x, 50, 2, 2), np.full((2, 2), 255, np.uint8)) for x in range(0, 42, 3)]
    parts = [letter, *specks]
    faint = [200.0, *[10.0] * len(specks)]
    assert parts_of_writing(parts, [0.9, *[0.0] * len(specks)], faint, 40.0, (60, 48)) == [letter]
