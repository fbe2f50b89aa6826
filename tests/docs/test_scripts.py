"""The scripts behind `make docs`: links are turned or refused, and what dangles on a site is found."""

from __future__ import annotations

import doctest
from importlib import import_module
from pathlib import Path

import check_links
import page_sources
import pytest

PLACES = {
    "docs/app.md": page_sources.Place("app.md", "The app"),
    "src/kalamos/zoo/digits.md": page_sources.Place("models/digits.md", "digits"),
}


def turned(text: str, source: str = "docs/forms.md", page: str = "forms.md", repository: str = "") -> str:
    return page_sources.turn_links(text, source, page, PLACES, repository).text


@pytest.mark.parametrize("name", ["build", "check_links", "fenced_doctests", "page_sources"])
def test_the_examples_hold(name: str) -> None:
    found = doctest.testmod(import_module(name))
    assert found.attempted
    assert not found.failed


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[c](../src/kalamos/zoo/digits.md#training)", "[c](models/digits.md#training)"),
        ("[`digits`](../src/kalamos/zoo/digits.md)", "[`digits`](models/digits.md)"),
        ("[docs/app.md](app.md)", "[The app](app.md)"),
        ("[the app.md file](app.md)", "[the app.md file](app.md)"),
        ("[site](https://example.org/a)", "[site](https://example.org/a)"),
        ("[here](#there)", "[here](#there)"),
        ("by [a program](../Makefile)", "by a program"),
        ("`[a](../nowhere)`", "`[a](../nowhere)`"),
        ("```sh\n[a](../nowhere)\n```", "```sh\n[a](../nowhere)\n```"),
        ("![A form](images/form.png)", "![A form](files/docs/images/form.png)"),
        ('<img src="images/form.png" width="9">', '<img src="files/docs/images/form.png" width="9">'),
        (
            "[![A form](images/form.png)](app.md)",
            "[![A form](files/docs/images/form.png)](app.md)",
        ),
    ],
)
def test_links_are_turned(text: str, expected: str) -> None:
    assert turned(text) == expected


def test_links_of_a_page_that_moved() -> None:
    text = "[a](../../../docs/app.md) ![b](../../../docs/images/form.png)"
    found = page_sources.turn_links(text, "src/kalamos/zoo/digits.md", "models/digits.md", PLACES)
    assert found.text == "[a](../app.md) ![b](../files/docs/images/form.png)"
    assert found.pictures == {"docs/images/form.png"}


def test_what_only_the_repository_has_is_linked_there() -> None:
    repository = "https://forge.example/o/n"
    assert turned("[a](../Makefile)", repository=repository) == f"[a]({repository}/blob/main/Makefile)"
    assert turned("[a](../samples)", repository=repository) == f"[a]({repository}/tree/main/samples)"


@pytest.mark.parametrize("text", ["[a](nowhere.md)", "![a](images/none.png)", '<img src="none.png">'])
def test_what_does_not_exist_is_refused(text: str) -> None:
    with pytest.raises(page_sources.LinkError, match=r"docs/forms\.md: .* does not exist"):
        turned(text)


def test_a_part_of_another_file_has_that_files_links() -> None:
    found = page_sources.include_parts(
        "before\n\n<!-- README.md: models -->\n",
        lambda text, file: page_sources.turn_links(text, file, "models/index.md", PLACES),
    )
    assert "[`digits`](digits.md)" in found.text
    with pytest.raises(page_sources.LinkError, match="no part nothing"):
        page_sources.include_parts("<!-- README.md: nothing -->", lambda text, file: None)  # type: ignore[arg-type, return-value]


def test_a_folder_with_something_else_in_it_is_left_alone(tmp_path: Path) -> None:
    build = import_module("build")
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "thesis.tex").write_text("x")
    with pytest.raises(build.BuildError, match="was not made here"):
        build.build(tmp_path / "site", "https://docs.example/", "")
    assert [path.name for path in tmp_path.rglob("*")] == ["site", "thesis.tex"]


@pytest.mark.parametrize(
    ("html", "trouble"),
    [
        ('<a href="none/">x</a>', "none/: not on the site"),
        ('<a href="../outside.html">x</a>', "../outside.html: not on the site"),
        ('<a href="#none">x</a>', "#none: no such anchor"),
        ('<a href="more/#none">x</a>', "more/#none: no such anchor"),
        ('<img src="none.png">', "none.png: not on the site"),
        ('<img src="">', ": empty"),
        ('<img srcset="a.css 1x, none.png 2x">', "none.png: not on the site"),
        (
            '<script src="https://cdn.example/a.js"></script>',
            "https://cdn.example/a.js: loaded from another host",
        ),
        (
            '<link rel="stylesheet" href="//fonts.example/a.css">',
            "//fonts.example/a.css: loaded from another host",
        ),
        ('<link rel="preconnect" href="https://a.example">', "https://a.example: loaded from another host"),
        (
            '<p style="background: url(https://a.example/b.png)">',
            "https://a.example/b.png: loaded from another host",
        ),
        (
            "<style>@import 'https://a.example/b.css';</style>",
            "https://a.example/b.css: loaded from another host",
        ),
        ('<iframe src="https://a.example/"></iframe>', "https://a.example/: loaded from another host"),
    ],
)
def test_what_dangles_or_comes_from_elsewhere_is_found(tmp_path: Path, html: str, trouble: str) -> None:
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "index.html").write_text('<h1 id="there">x</h1>')
    (tmp_path / "a.css").write_text("")
    (tmp_path / "index.html").write_text(html)
    assert check_links.problems_of(tmp_path) == [f"index.html: {trouble}"]


def test_what_is_there_is_no_problem(tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "index.html").write_text('<h1 id="تجربة">x</h1><a href="../">up</a>')
    (tmp_path / "a.css").write_text("p { background: url(data:image/png;base64,AA==) }")
    (tmp_path / "index.html").write_text(
        '<link rel="canonical" href="https://docs.example/"><link rel="stylesheet" href="a.css?v=1">'
        '<a href="">here</a><a href="/more/">root</a><a href="https://a.example/">elsewhere</a>'
        '<a href="more/#%D8%AA%D8%AC%D8%B1%D8%A8%D8%A9">there</a><a href="mailto:a@example.org">mail</a>'
    )
    assert check_links.problems_of(tmp_path) == []


def test_a_site_below_its_host_s_root(tmp_path: Path) -> None:
    (tmp_path / "404.html").write_text('<a href="/kalamos/">front</a><a href="/more/">of somebody else</a>')
    (tmp_path / "index.html").write_text("<p>x</p>")
    assert check_links.problems_of(tmp_path, "/kalamos/") == ["404.html: /more/: not on the site"]


def test_a_style_sheet_is_looked_into(tmp_path: Path) -> None:
    (tmp_path / "a.css").write_text("@font-face { src: url('https://fonts.example/a.woff2') }")
    assert check_links.problems_of(tmp_path) == [
        "a.css: https://fonts.example/a.woff2: loaded from another host"
    ]
