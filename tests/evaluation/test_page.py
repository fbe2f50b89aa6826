from __future__ import annotations

import base64
import re
from dataclasses import replace

import numpy as np
import pytest
from tests.pages import Page, decode_uri

from kalamos.datasets import Split
from kalamos.evaluation.evaluate import EvalTarget, Evaluation
from kalamos.evaluation.page import evaluation_page
from kalamos.evaluation.report import metrics
from kalamos.recognizer import Recognizer


@pytest.fixture
def render(reader: Recognizer, spoilt: Split):
    def page(measured: Evaluation, subject: EvalTarget, split: Split = spoilt, plots=None) -> str:
        figures = metrics(measured, subject, reader)
        return evaluation_page(measured, split, reader, subject, figures, plots or {})

    return page


def test_the_page_holds_everything_itself(render, measured: Evaluation, subject: EvalTarget) -> None:
    png = base64.b64decode(
        "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg=="
    )
    plots = dict.fromkeys(("confusion", "reliability", "risk_coverage"), png)
    page = Page(render(measured, subject, plots=plots))
    sources = page.values("src", "srcset", "href")
    assert len(sources) > 40
    for source in sources:
        assert source.startswith("data:image/png;base64,")
        decode_uri(source)
    assert not {"script", "link", "iframe", "object"} & set(page.tags)
    assert all(page.values("alt"))
    policy = next(value for value in page.values("content") if "default-src" in value)
    assert policy == "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def test_the_page_says_the_figures(render, measured: Evaluation, subject: EvalTarget) -> None:
    words = Page(render(measured, subject)).words
    for told in (f"{measured.accuracy:.2%}", f"{measured.ece:.2%}", measured.sha256, "Unread", "#30"):
        assert told in words


def test_everything_is_escaped(render, measured: Evaluation) -> None:
    nasty = '<script>alert("1")</script>&amp;\'"'
    labels = tuple(f"{nasty}{i}" for i in range(10))
    page = Page(render(replace(measured, labels=labels), EvalTarget(nasty, nasty, nasty)))
    assert "script" not in page.tags
    assert f"{nasty}3" in page.words
    assert f"{nasty} on {nasty}" in page.words


def test_labels_keep_their_place_in_a_line(render, measured: Evaluation, subject: EvalTarget) -> None:
    arabic = replace(measured, labels=tuple("ابتثجحخدذر"))
    text = render(arabic, subject)
    outside = re.sub(r"<bdi[^>]*>.*?</bdi>|<[^>]*>", "", text)
    assert re.findall("[\u0600-\u06ff]", outside) == []


def test_photographs_are_made_small(render, measured: Evaluation, subject: EvalTarget) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (60, 600, 400), np.uint8)
    assert len(render(measured, subject, Split(noise, measured.truth))) < 3_000_000


def test_nothing_read_and_nothing_wrong(render, measured: Evaluation, subject: EvalTarget, answering) -> None:
    blank = replace(measured, probabilities=np.zeros_like(measured.probabilities))
    assert "Read correctly" not in Page(render(blank, subject)).words
    words = Page(render(answering(measured, measured.truth), subject)).words
    assert "Most confident mistakes" not in words
    assert "Most confused" not in words
