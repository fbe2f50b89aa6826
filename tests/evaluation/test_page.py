from __future__ import annotations

import base64
import re
from dataclasses import replace
from html.parser import HTMLParser

import cv2
import numpy as np
import pytest

from kalamos.datasets import Split
from kalamos.evaluation.evaluate import EvalTarget, Evaluation
from kalamos.evaluation.page import render_page
from kalamos.evaluation.report import metrics
from kalamos.recognizer import Recognizer

VOID = {"meta", "img", "source", "br", "link"}


class Page(HTMLParser):
    """Checks that what is opened is closed, and collects."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.words = ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words += data


@pytest.fixture
def render(reader: Recognizer, spoilt: Split):
    def page(measured: Evaluation, subject: EvalTarget, split: Split = spoilt, plots=None) -> str:
        return render_page(measured, split, reader, subject, metrics(measured, subject, reader), plots or {})

    return page


def test_the_page_holds_everything_itself(render, measured: Evaluation, subject: EvalTarget) -> None:
    png = base64.b64decode(
        "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg=="
    )
    plots = dict.fromkeys(("confusion", "reliability", "risk_coverage"), (png, png))
    page = Page(render(measured, subject, plots=plots))
    sources = [value for _, name, value in page.attributes if name in {"src", "srcset", "href"}]
    assert len(sources) > 40
    for source in sources:
        kind, _, content = source.partition(",")
        assert kind == "data:image/png;base64"
        assert (
            cv2.imdecode(np.frombuffer(base64.b64decode(content), np.uint8), cv2.IMREAD_UNCHANGED) is not None
        )
    assert not {"script", "link", "iframe", "object"} & set(page.tags)
    assert all(value for tag, name, value in page.attributes if name == "alt")
    policy = next(value for tag, name, value in page.attributes if tag == "meta" and "default-src" in value)
    assert policy.startswith("default-src 'none'")


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
    assert "Read rightly" not in Page(render(blank, subject)).words
    words = Page(render(answering(measured, measured.truth), subject)).words
    assert "Surest mistakes" not in words
    assert "Most confused" not in words
