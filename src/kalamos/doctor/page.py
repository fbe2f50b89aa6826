"""A diagnosis as one HTML page that holds everything it shows, and asks nothing of the network.

No scripts; pictures are data URIs, and a content security policy lets nothing else in. Labels and file
names are whatever somebody wrote: they are escaped, and stand in `<bdi>`, so that Arabic ones, or
ones with a direction mark, keep to their place.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from html import escape
from pathlib import Path

from kalamos._version import __version__
from kalamos.doctor.examination import InspectionReport
from kalamos.doctor.findings import Case, Finding
from kalamos.doctor.pool import PART_NAMES, ImageIndex
from kalamos.doctor.sheets import thumbnail
from kalamos.doctor.summary import case_note, measured, verdict
from kalamos.evaluation.pictures import encode_png
from kalamos.writers.escape import one_line

__all__ = ["SHEETS", "render_page"]

CASES, TOGETHER, SHEETS = 30, 6, 120
"""Cases of a finding, images of a case and contact sheets that are shown: a few megabytes at most."""

SIDE = 64
_STYLE = Path(__file__).with_name("page.css")
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def render_page(diagnosis: InspectionReport, sheets: Mapping[int, bytes]) -> str:
    """The page as HTML.

    Args:
        sheets: class -> PNG of its contact sheet; the first `SHEETS` are shown.
    """
    name = _text(diagnosis.dataset.name)
    body = "\n".join(
        [_head(diagnosis), _findings(diagnosis), _classes(diagnosis), _sheets(diagnosis, sheets)]
    )
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(one_line(diagnosis.dataset.name))}: inspection</title>\n"
        f"<style>\n{_STYLE.read_text(encoding='utf-8')}</style>\n</head>\n<body>\n<main>\n{body}\n"
        f'<p class="faint note">{name}, inspected by kalamos {__version__}.</p>\n</main>\n</body>\n</html>\n'
    )


def _head(diagnosis: InspectionReport) -> str:
    kind = "error" if diagnosis.errors else "warning" if diagnosis.warnings else "fine"
    facts = "".join(f"<dt>{name}</dt><dd>{_text(told)}</dd>" for name, told in measured(diagnosis).items())
    return (
        f"<header><h1>{_text(diagnosis.dataset.name)}</h1>\n"
        f'<p class="faint">{_text(diagnosis.dataset.source)}</p>\n'
        f'<p class="verdict {kind}">{_capital(verdict(diagnosis))}</p>\n<dl>{facts}</dl></header>'
    )


def _findings(diagnosis: InspectionReport) -> str:
    shown = "\n".join(_finding(finding, diagnosis.images) for finding in diagnosis.findings)
    return f"<h2>Findings</h2>\n{shown}" if shown else ""


def _finding(finding: Finding, pool: ImageIndex) -> str:
    about = finding.about
    cases = "\n".join(_case(case, pool) for case in finding.cases[:CASES])
    left = len(finding.cases) - CASES
    more = f'<p class="note">and {left:,} more; the JSON output has them all</p>' if left > 0 else ""
    kind = "cases" if finding.cases[0].rows else "cases told"
    return (
        f'<section class="finding"><h3><span class="tag {about.severity}">{about.severity}</span>'
        f"{_capital(escape(str(finding)))}</h3>\n"
        f'<p>{escape(about.meaning)} <span class="faint">To mend it: {escape(about.remedy)}.</span></p>\n'
        f'<ul class="{kind}">\n{cases}\n</ul>{more}</section>'
    )


def _case(case: Case, pool: ImageIndex) -> str:
    note = case_note(case)
    if not case.rows:
        return f"<li>{_text(note)}</li>"
    images = "".join(_image(row, pool) for row in case.rows[:TOGETHER])
    left = len(case.rows) - TOGETHER
    if left > 0:
        images += f'<p class="note">and {left:,} more</p>'
    told = f'<p class="note">{_text(note)}</p>' if note else ""
    return f'<li class="case"><div class="images">{images}</div>{told}</li>'


def _image(row: int, pool: ImageIndex) -> str:
    place = pool.place(row)
    where = f'<span class="label">{_text(place.label)}</span> {_text(str(place))}'
    return (
        f'<figure><img alt="" src="{_data_uri(encode_png(thumbnail(pool[row], SIDE)))}">'
        f"<figcaption>{where}</figcaption></figure>"
    )


def _classes(diagnosis: InspectionReport) -> str:
    parts = diagnosis.images.parts()
    totals = diagnosis.counts.sum(axis=0)
    most = max(int(totals.max(initial=0)), 1)
    head = "".join(f"<th>{PART_NAMES[part]}</th>" for part in parts)
    rows = "\n".join(
        f"<tr><td>{_text(label)}</td>"
        + "".join(f"<td>{diagnosis.counts[part, position]:,}</td>" for part in parts)
        + f'<td class="wide"><i class="bar" style="width:{100 * totals[position] / most:.1f}%"></i></td></tr>'
        for position, label in enumerate(diagnosis.dataset.alphabet.labels)
    )
    return (
        f'<h2>Classes</h2>\n<div class="scroll"><table><thead><tr><th>label</th>{head}<th></th></tr></thead>'
        f"<tbody>\n{rows}\n</tbody></table></div>"
    )


def _sheets(diagnosis: InspectionReport, sheets: Mapping[int, bytes]) -> str:
    labels, totals = diagnosis.dataset.alphabet.labels, diagnosis.counts.sum(axis=0)
    shown = "\n".join(
        f'<figure><figcaption><span class="label">{_text(labels[label])}</span> {totals[label]:,} images'
        f'</figcaption><img alt="" src="{_data_uri(png)}"></figure>'
        for label, png in list(sheets.items())[:SHEETS]
    )
    left = len(sheets) - SHEETS
    more = f'<p class="note">and {left:,} classes more</p>' if left > 0 else ""
    return f'<h2>Some of each class</h2>\n<div class="sheets">\n{shown}\n</div>{more}'


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _text(text: str) -> str:
    return f"<bdi>{escape(one_line(text))}</bdi>"


def _data_uri(png: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"
