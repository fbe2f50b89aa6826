from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kalamos.datasets.class_folders import folder_of, label_of

LABELS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)


@given(LABELS)
def test_every_label_comes_back(label: str) -> None:
    name = folder_of(label)
    assert label_of(name) == unicodedata.normalize("NFC", label)
    assert "/" not in name
    assert "\\" not in name
    assert "\0" not in name
    assert not name.startswith(".")


@given(LABELS)
def test_a_folder_is_a_label(name: str) -> None:
    label = label_of(name)
    assert label == name or folder_of(label) == unicodedata.normalize("NFC", name)


@pytest.mark.parametrize("name", ["7", "ب", "A b", "100%", "%zz", "%41", "%E9"])
def test_folders_that_people_made_stay_what_they_are(name: str) -> None:
    assert label_of(name) == name
