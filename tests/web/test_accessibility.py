"""What axe finds on the page (WCAG 2.2 A and AA, best practices): light and dark, English and Arabic."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.web.conftest import Open  # isort: skip
from tests.web.test_browser import SAMPLES, SEVEN, draw, wait  # isort: skip
from tests.web.test_own_alphabet import RING, VEE, keep  # isort: skip

if TYPE_CHECKING:
    from playwright.sync_api import Page

AXE = Path(__file__).parents[2] / "web" / "node_modules" / "axe-core" / "axe.min.js"

PAGE_OF_LETTERS = SAMPLES.parent / "samples-pages" / "letters.jpg"

pytestmark = pytest.mark.skipif(not AXE.exists(), reason="axe is not installed: npm ci --prefix web")


def violations(page: Page) -> list[str]:
    page.evaluate(AXE.read_text("utf-8"))
    page.wait_for_timeout(400)  # until nothing moves: what fades in has less contrast
    return page.evaluate(  # type: ignore[no-any-return]
        """async () => (await axe.run()).violations.flatMap(({ id, nodes }) =>
             nodes.map(({ target, failureSummary }) => `${id}: ${target}: ${failureSummary}`))"""
    )


def waiting(_page: Page) -> None:
    pass


def read(page: Page) -> None:
    draw(page, SEVEN)
    wait(page, "7")


def whole_page(page: Page) -> None:
    page.locator("input[value=page]").check()
    page.locator("#file").set_input_files(PAGE_OF_LETTERS)
    page.wait_for_function("() => document.querySelector('.columns').dataset.state === 'page'")


def failed(page: Page) -> None:
    page.locator("#file").set_input_files({"name": "4.png", "mimeType": "image/png", "buffer": b"none"})
    page.wait_for_function("() => document.querySelector('.columns').dataset.state === 'failed'")


def own(page: Page) -> None:
    page.locator("input[value=own]").check()
    keep(page, "v", [VEE])
    keep(page, "ο", [RING], before=1)
    draw(page, VEE)
    wait(page, "v")


def rename(page: Page) -> None:
    own(page)
    page.locator(".acts button").nth(1).click()
    page.locator("#rename").wait_for()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(
    ("view", "language"),
    [
        (waiting, "en"),
        (read, "en"),
        (whole_page, "en"),
        (failed, "ar"),
        (own, "en"),
        (own, "ar"),
        (rename, "en"),
    ],
)
def test_axe_finds_nothing(open_file: Open, view: Callable[[Page], None], language: str, scheme: str) -> None:
    page = open_file(color_scheme=scheme, locale=language)
    view(page)
    assert violations(page) == []
