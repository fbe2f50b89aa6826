"""`shift.html`: the suite's figures and contact sheets on one page that asks nothing of the network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING

from kalamos.evaluation.html import data_uri, document, isolated, percent, plot
from kalamos.shift.catalogue import STRENGTHS
from kalamos.shift.corruptions import CORRUPTIONS
from kalamos.shift.report import ALL, ShiftReport

if TYPE_CHECKING:
    from kalamos.evaluation.evaluate import EvalTarget

__all__ = ["render_shift_page"]

_PLOTS = (
    (
        "Accuracy by corruption and strength",
        "Accuracy in percent, the fuller the colour the more is lost. Bars: the mean over the three "
        "strengths; dashed: the same images as they are; orange: the mean of all corruptions.",
    ),
    (
        "Accuracy by confidence",
        "What the confidences were worth over all corrupted images in which ink was found, with 95 % "
        "intervals.",
    ),
)


def render_shift_page(
    report: ShiftReport,
    subject: EvalTarget,
    plots: Sequence[tuple[bytes, ...]],
    sheets: Mapping[str, bytes],
    misreads: bytes,
) -> str:
    """The page as HTML.

    Args:
        plots: accuracy by corruption, and by confidence: PNG for light and for dark screens; or none.
        sheets: corruption -> its contact sheet, PNG or JPEG; `misreads` likewise.
    """
    drawn = "\n".join(plot(light, dark, *told) for (light, dark), told in zip(plots, _PLOTS, strict=False))
    body = (_head(report, subject), drawn, _table(report), _misreads(misreads), _sheets(report, sheets))
    return document(f"{subject}: shift suite", "\n".join(filter(None, body)))


def _head(report: ShiftReport, subject: EvalTarget) -> str:
    mean = report.means[ALL]
    worst = report.worst()[0]
    cards = [
        (
            "first",
            percent(mean.value),
            f"mean over corruptions, 95 % interval {mean.low:.2%} to {mean.high:.2%}",
        ),
        ("", percent(report.clean.value), "the same images as they are"),
    ]
    cards += [
        ("", percent(share.value), f"mean, {group}") for group, share in report.means.items() if group != ALL
    ]
    cards += [
        ("", percent(report.accuracy(worst)), f"worst: {worst}"),
        ("", percent(report.ece), f"calibration error, mean confidence {percent(report.mean_confidence)}"),
    ]
    if report.no_ink:
        cards.append(("", f"{report.no_ink:,}", "found without ink, counted as misread"))
    shown = "".join(
        f'<div class="card {kind}"><b>{value}</b><span>{escape(what)}</span></div>'
        for kind, value, what in cards
    )
    return (
        f"<header>\n<h1>{isolated(subject.model)} on corrupted {isolated(subject.dataset)}</h1>\n"
        f'<p class="faint">{isolated(subject.part)}, {report.n:,} images, {len(report.names)} corruptions '
        f'at {len(STRENGTHS)} strengths, seed {report.seed}</p>\n<div class="cards">{shown}</div>\n</header>'
    )


def _table(report: ShiftReport) -> str:
    heads = "".join(f"<th>{strength}</th>" for strength in STRENGTHS)
    rows = []
    for name in report.names:
        cells = report.of(name)
        shares = "".join(
            f'<td title="95 % interval {low:.2%} to {high:.2%}">{percent(cell.accuracy)}</td>'
            for cell in cells
            for low, high in [cell.interval]
        )
        blank = sum(cell.no_ink for cell in cells)
        rows.append(
            f'<tr><td><a href="#{name}">{name}</a> <span class="note">{escape(CORRUPTIONS[name].description)}'
            f"</span></td>{shares}<td>{percent(report.accuracy(name))}</td><td>{blank or ''}</td></tr>"
        )
    return (
        "<h2>Accuracy by strength</h2>\n"
        f'<div class="scroll"><table><thead><tr><th>corruption</th>{heads}<th>mean</th><th>no ink</th></tr>'
        f"</thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def _misreads(sheet: bytes) -> str:
    return (
        "<h2>Surest misreadings of the worst corruptions</h2>\n"
        '<p class="note">The corrupted image above what the model saw of it; in its corner the strength. '
        f"Below: true label → answer, confidence.</p>\n{_picture(sheet, 'surest misreadings')}"
    )


def _sheets(report: ShiftReport, sheets: Mapping[str, bytes]) -> str:
    shown = "\n".join(
        f'<h3 id="{name}">{name}</h3>\n<p class="note">{escape(CORRUPTIONS[name].description)}. '
        f"Mean {percent(report.accuracy(name))}.</p>\n{_picture(sheet, name)}"
        for name, sheet in sheets.items()
    )
    return (
        "<h2>Contact sheets</h2>\n"
        '<p class="note">A row for each strength. Framed in blue: read rightly; in orange: misread; in '
        f"black: no ink found.</p>\n{shown}"
    )


def _picture(sheet: bytes, alt: str) -> str:
    return f'<figure class="plot"><img alt="{escape(alt)}" src="{data_uri(sheet)}"></figure>'
