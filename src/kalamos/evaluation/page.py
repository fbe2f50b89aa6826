"""`report.html`: one page that holds everything it shows, and asks nothing of the network."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from kalamos.datasets import Split
from kalamos.evaluation.evaluate import Evaluation
from kalamos.evaluation.examples import confused_pairs, right_samples, surest_mistakes, unread_rows
from kalamos.evaluation.html import data_uri, document, isolated, percent, plot
from kalamos.evaluation.pictures import encode_png, fitted, seen_by
from kalamos.recognizer import Recognizer

if TYPE_CHECKING:
    from kalamos.evaluation.evaluate import EvalTarget
    from kalamos.evaluation.examples import ConfusedPair

__all__ = ["render_page"]

MISTAKES, UNREAD, SAMPLES, PAIRS, EACH = 63, 24, 52, 15, 8
SIDE = 96
"""Pixels of a tile's longer side at most: a page of photographs stays a page."""

_PLOTS = {
    "confusion": (
        "Confusion matrix: a row for each true label, a column for each answer",
        "A row for each true label, a column for each answer. Blue: read rightly, the fuller the more. "
        "Orange: misread, on a logarithmic scale of its own, so that single mistakes show.",
    ),
    "reliability": (
        "Reliability diagram: accuracy against confidence in 15 bins",
        "On the dashed line, 90 % confident means 90 % right. Below it the model is too sure, above it "
        "not sure enough. Whiskers: 95 % intervals.",
    ),
    "risk_coverage": (
        "Risk-coverage curve: the share misread among the surest images",
        "What is gained by leaving the least sure images to a person.",
    ),
}


def render_page(
    measured: Evaluation,
    split: Split,
    reader: Recognizer,
    subject: EvalTarget,
    figures: Mapping[str, Any],
    plots: Mapping[str, tuple[bytes, bytes]],
) -> str:
    """The page as HTML.

    Args:
        figures: what `report.metrics` gives.
        plots: name -> PNG for light and for dark screens; may be empty.
    """
    sections = (
        _head(measured, subject, figures),
        _figures(measured, figures),
        _plots(plots),
        _pairs(measured, split),
        _mistakes(measured, split, reader),
        _unread(measured, split),
        _classes(figures),
        _samples(measured, split),
        _origin(measured, reader, subject, figures),
    )
    return document(f"{subject}: evaluation", "\n".join(filter(None, sections)))


def _head(measured: Evaluation, subject: EvalTarget, figures: Mapping[str, Any]) -> str:
    low, high = measured.interval
    wrong = measured.n - int(measured.correct.sum())
    cards = [
        ("first", percent(measured.accuracy), f"accuracy, 95 % interval {low:.2%} to {high:.2%}"),
        ("", f"{wrong:,}", f"of {measured.n:,} images misread"),
        ("", percent(figures["macro"]["f1"]), "macro F1"),
        ("", percent(figures["ece"]), "expected calibration error"),
        ("", percent(measured.selective.accuracy_at(0.95)), "right among the surest 95 %"),
    ]
    if measured.unread:
        cards.append(("", f"{measured.unread:,}", "without ink, counted as misread"))
    shown = "".join(
        f'<div class="card {kind}"><b>{value}</b><span>{what}</span></div>' for kind, value, what in cards
    )
    kept = ""
    if measured.charset is not None:
        kept = f"charset {isolated(measured.charset)} ({subject.left_out:,} other images left out), "
    return (
        f"<header>\n<h1>{isolated(subject.model)} on {isolated(subject.dataset)}</h1>\n"
        f'<p class="faint">{isolated(subject.part)}, {measured.n:,} images, {len(measured.labels)} classes, '
        f'{kept}measured on {figures["date"]}</p>\n<div class="cards">{shown}</div>\n</header>'
    )


def _figures(measured: Evaluation, figures: Mapping[str, Any]) -> str:
    macro, weighted = figures["macro"], figures["weighted"]
    rows = [
        (f"Among the {k} best candidates", percent(share))
        for k, share in figures["top_k"].items()
        if k != "1"
    ]
    if figures["case_folded_accuracy"] is not None:
        rows.append(
            ("Accuracy, capital and small letter counted as one", percent(figures["case_folded_accuracy"]))
        )
    if figures["confusables_merged_accuracy"] is not None:
        groups = " ".join(isolated("\u2009".join(group)) + "," for group in figures["confusable_groups"])
        told = f'Accuracy, confusable labels counted as one <span class="note">{groups.rstrip(",")}</span>'
        rows.append((told, percent(figures["confusables_merged_accuracy"])))
    for name, averages in (("Macro average", macro), ("Weighted average", weighted)):
        told = f'{name} <span class="note">precision, recall, F1</span>'
        rows.append((told, " &nbsp; ".join(percent(averages[key]) for key in ("precision", "recall", "f1"))))
    rows += [
        (f'Right among the surest {selected["coverage"]:.0%} <span class="note">confidence at least '
         f'{selected["min_confidence"]:.3f}</span>', percent(selected["accuracy"]))
        for selected in figures["selective"]
    ]  # fmt: skip
    rows += [
        (f'Aimed at {target["target"]:.1%} right <span class="note">confidence at least '
         f'{target["min_confidence"]:.4f}, from validation</span>',
         f'{percent(target["coverage"])} answered, {percent(target["accuracy"])} of these right')
        for target in figures["targets"]
    ]  # fmt: skip
    rows += [
        ("Area under the risk-coverage curve (AURC)", f"{figures['aurc']:.3g}"),
        ("Expected calibration error (ECE), 15 bins", percent(figures["ece"])),
        ("Negative log-likelihood, nats", _number(figures["nll"])),
        ("Brier score, 0 to 2", _number(figures["brier"])),
    ]
    table = "".join(f"<tr><td>{name}</td><td>{value}</td></tr>" for name, value in rows)
    note = "Calibration is that of the images that could be read." if measured.unread else ""
    return f'<h2>Figures</h2>\n<p class="note">{note}</p>\n<table class="figures">{table}</table>'


def _plots(plots: Mapping[str, tuple[bytes, bytes]]) -> str:
    if not plots:
        return ""
    shown = {name: plot(light, dark, *_PLOTS[name]) for name, (light, dark) in plots.items()}
    pair = "".join(shown[name] for name in shown if name != "confusion")
    return (
        f"<h2>What is read as what</h2>\n{shown['confusion']}\n"
        f'<h2>What confidence is worth</h2>\n<div class="plots">{pair}</div>'
    )


def _pairs(measured: Evaluation, split: Split) -> str:
    pairs = confused_pairs(measured, PAIRS, EACH)
    if not pairs:
        return ""
    shown = "\n".join(_pair(pair, measured, split) for pair in pairs)
    return (
        "<h2>Most confused pairs</h2>\n"
        '<p class="note">First, to compare with, a right reading of either label; then the mistakes, '
        f"the surest first.</p>\n{shown}"
    )


def _pair(pair: ConfusedPair, measured: Evaluation, split: Split) -> str:
    like = "".join(
        _tile([split.images[row]], f"a right {label}", f"<span>right {isolated(label)}</span>")
        for row, label in zip(pair.like, (pair.truth, pair.predicted), strict=True)
        if row is not None
    )
    mistakes = "".join(
        _tile(
            [split.images[row]],
            f"{pair.truth} read as {pair.predicted}",
            f"<span>#{row}</span><span>{measured.confidence[row]:.0%}</span>",
        )
        for row in pair.rows
    )
    size = " long" if max(len(pair.truth), len(pair.predicted)) > 3 else ""
    return (
        f'<div class="confusion"><div class="what{size}">{isolated(pair.truth, "truth")} '
        f'<span class="faint">→</span> {isolated(pair.predicted, "answer")}'
        f"<small>{pair.frequency}</small></div>"
        f'<div class="tiles like">{like}</div><div class="tiles">{mistakes}</div></div>'
    )


def _mistakes(measured: Evaluation, split: Split, reader: Recognizer) -> str:
    rows = surest_mistakes(measured, MISTAKES).tolist()
    if not rows:
        return ""
    tiles = []
    for row in rows:
        truth, answer = measured.labels[measured.truth[row]], measured.labels[measured.predicted[row]]
        tiles.append(
            _tile(
                [split.images[row], seen_by(reader, split.images[row])],
                f"{truth} read as {answer}, and what the model saw of it",
                f"<span>#{row}</span><span>{isolated(truth, 'truth')} → {isolated(answer, 'answer')}</span>"
                f"<span>{measured.confidence[row]:.0%}</span>",
            )
        )
    return (
        "<h2>Surest mistakes</h2>\n"
        '<p class="note">Each image beside what the model saw of it. Below: its row in the split, '
        "true label → answer, confidence. Look here for wrong labels.</p>\n"
        f'<div class="tiles pairs">{"".join(tiles)}</div>'
    )


def _unread(measured: Evaluation, split: Split) -> str:
    rows = unread_rows(measured, UNREAD).tolist()
    if not rows:
        return ""
    more = f" The first {len(rows)} of {measured.unread:,}." if measured.unread > len(rows) else ""
    tiles = "".join(
        _tile([split.images[row]], f"unread, row {row}",
              f"<span>#{row}</span>{isolated(measured.labels[measured.truth[row]], 'truth')}")
        for row in rows
    )  # fmt: skip
    return (
        "<h2>Unread</h2>\n"
        f'<p class="note">No ink was found on these. They count as misread.{more}</p>\n'
        f'<div class="tiles">{tiles}</div>'
    )


def _classes(figures: Mapping[str, Any]) -> str:
    # The worst first; a class that was never there and never answered has nothing to show.
    present = [row for row in figures["per_class"] if row["f1"] is not None]
    rows = "".join(
        f"<tr><td>{isolated(row['label'], 'truth')}</td><td>{row['support']:,}</td>"
        f"<td>{percent(row['precision'])}</td><td>{percent(row['recall'])}</td><td>{percent(row['f1'])}"
        f'<span class="bar"><i style="width:{100 * row["f1"]:.1f}%"></i></span></td></tr>'
        for row in sorted(present, key=lambda row: row["f1"])
    )
    absent = [row["label"] for row in figures["per_class"] if not row["support"]]
    note = f" Without images here: {' '.join(map(isolated, absent))}." if absent else ""
    return (
        f'<h2>Classes</h2>\n<p class="note">The worst first.{note}</p>\n<div class="scroll"><table>'
        "<thead><tr><th>label</th><th>images</th><th>precision</th><th>recall</th><th>F1</th></tr></thead>"
        f"<tbody>{rows}</tbody></table></div>"
    )


def _samples(measured: Evaluation, split: Split) -> str:
    rows = right_samples(measured, SAMPLES).tolist()
    if not rows:
        return ""
    tiles = []
    for row in rows:
        label = measured.labels[measured.truth[row]]
        caption = f"{isolated(label, 'truth')}<span>{measured.confidence[row]:.0%}</span>"
        tiles.append(_tile([split.images[row]], f"{label}, read rightly", caption))
    return (
        '<h2>Read rightly</h2>\n<p class="note">Drawn at random.</p>\n'
        f'<div class="tiles">{"".join(tiles)}</div>'
    )


def _origin(measured: Evaluation, reader: Recognizer, subject: EvalTarget, figures: Mapping[str, Any]) -> str:
    spec = reader.spec
    steps = " → ".join(str(step["step"]) for step in spec.preprocessing)
    passed_over = f", {subject.passed_over:,} files passed over" if subject.passed_over else ""
    facts = {
        "Model": f"{isolated(subject.model)}: {isolated(spec.name)}, "
        f"<code>{escape(spec.architecture)}</code>, {spec.parameters:,} parameters, "
        f"temperature {spec.temperature:.3f}",
        "Preprocessing": escape(steps),
        "Images": f"{isolated(subject.dataset)}, {isolated(subject.part)}{passed_over}; "
        "images' and labels' SHA-256 "
        f"<code>{escape(measured.sha256)}</code>",
        "Alphabet": " ".join(map(isolated, measured.labels)),
        "Measured": f"{figures['date']} by kalamos {escape(figures['kalamos_version'])}",
    }
    listed = "".join(f"<dt>{name}</dt><dd>{value}</dd>" for name, value in facts.items())
    return f"<h2>Where this comes from</h2>\n<dl>{listed}</dl>"


def _tile(images: Iterable[NDArray[np.uint8]], alt: str, caption: str) -> str:
    shown = "".join(
        f'<img alt="{escape(alt)}" src="{data_uri(encode_png(_small(image)))}">' for image in images
    )
    return (
        f'<figure class="tile"><div class="images">{shown}</div><figcaption>{caption}</figcaption></figure>'
    )


def _small(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return fitted(image, SIDE) if max(image.shape) > SIDE else image


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"
