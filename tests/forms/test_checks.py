from __future__ import annotations

import importlib.util

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kalamos.errors import MissingExtraError, UsageError
from kalamos.forms import checks
from kalamos.forms.checks import find_check

NEEDS_STDNUM = pytest.mark.skipif(
    importlib.util.find_spec("stdnum") is None, reason="python-stdnum is not installed"
)


@pytest.mark.parametrize(
    ("text", "passes"),
    [
        ("4539148803436467", True),
        ("4539 1488 0343 6467", True), ("8273123273520569", False), ("0", True), ("", False),
        ("12a", False), ("٧٩٩٢٧٣٩٨٧١٣", True), ("²", False),
    ],
)  # fmt: skip
def test_luhn(text: str, passes: bool) -> None:
    assert find_check("luhn")(text) is passes


@given(st.text("0123456789", min_size=1, max_size=20), st.data())
def test_luhn_stops_every_error_of_one_digit(first: str, data: st.DataObject) -> None:
    passes = find_check("luhn")
    [number] = [first + last for last in "0123456789" if passes(first + last)]
    place = data.draw(st.integers(0, len(number) - 1))
    digit = data.draw(st.sampled_from([each for each in "0123456789" if each != number[place]]))
    assert not passes(number[:place] + digit + number[place + 1 :])


@pytest.mark.parametrize(
    ("name", "text", "passes"),
    [
        ("date", "31012024", True), ("date", "31042024", False), ("date", "29.02.2023", False),
        ("date", "29/02/24", True),
        ("date", "290223", False), ("date", "290200", True), ("date", "2024-02-29", True),
        ("date", "01.02-2024", False),
        ("date", "01011700", False), ("date", "1.1.2024", False), ("date", "٣١٠١٢٠٢٤", True),
        ("date", "", False),
        ("date:MM/DD/YYYY", "12/31/1999", True), ("date:MM/DD/YYYY", "31/12/1999", False),
        ("date:YYYYMMDD", "20240230", False), ("date:DD MM YY", "05 06 07", True),
    ],
)  # fmt: skip
def test_dates(name: str, text: str, passes: bool) -> None:
    assert find_check(name)(text) is passes


@pytest.mark.parametrize("name", ["date:", "date:DDMM", "date:DDMMYYYYDD", "date:YYYYMMDDYY"])
def test_a_format_of_dates_has_all_parts_once(name: str) -> None:
    with pytest.raises(UsageError, match="once each"):
        find_check(name)


@NEEDS_STDNUM
@pytest.mark.parametrize(
    ("name", "right", "wrong"),
    [
        ("iban", "DE89370400440532013000", "DE89370400440532013001"),
        ("isbn", "9783161484100", "9783161484101"),
        ("isbn", "316148410X", "3161484101"),
        ("it.codicefiscale", "RCCMNL83S18D969H", "RCCMNL83S18D969A"),
        ("es.dni", "54362315K", "54362315A"),
        ("in.pan", "ACUPA7085R", "ACUPA70R85"),
        ("verhoeff", "1234567890120", "1234567890121"),
    ],
)
def test_numbers_that_python_stdnum_knows(name: str, right: str, wrong: str) -> None:
    assert find_check(name)(right)
    assert not find_check(name)(wrong)


@NEEDS_STDNUM
@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("lunh", "'luhn'"),
        ("codicefiscale", "'it.codicefiscale'"),
        ("it.codicefiscal", "'it.codicefiscale'"),
        ("dni", "'es.dni'"),
        ("it", "'it.aic'"),
        ("IBAN", "'iban'"),
    ],
)
def test_an_unknown_name_gets_near_ones(name: str, near: str) -> None:
    with pytest.raises(UsageError, match=f"no check is called '{name}'") as raised:
        find_check(name)
    assert near in raised.value.remedy


@NEEDS_STDNUM
@pytest.mark.parametrize("name", ["", "os", "..", "util", "exceptions", "es.", "stdnum.util", "a" * 3000])
def test_nothing_but_numbers_is_a_check(name: str) -> None:
    with pytest.raises(UsageError, match="no check is called"):
        find_check(name)


@NEEDS_STDNUM
@pytest.mark.parametrize("text", ["", "a", "١٢٣", "é" * 40, "0" * 40, "-", "\0"])
def test_no_check_raises_whatever_the_text(text: str) -> None:
    for name in checks._stdnum_names():
        assert find_check(name)(text) in {True, False}


def test_without_python_stdnum_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "find_spec", lambda name: None)
    find_check.cache_clear()
    assert find_check("luhn")("18")
    assert find_check("date")("01012000")
    with pytest.raises(MissingExtraError, match=r"kalamos\[forms\]"):
        find_check("es.dni")
    with pytest.raises(UsageError, match="did you mean 'luhn'"):
        find_check("lunh")
