"""The report kit: pages, image tiles, plots, tables on a terminal, JSON, and the files of a report.

A page is a Jinja2 template of the folder `templates`, with autoescaping: a label or a file name stays text,
whatever it holds. Each page is one file that needs no network: no scripts, images as data URIs, and a content
security policy that lets nothing else in. Labels and names stand in `<bdi>`, so that Arabic ones keep their
place in a line.

Plots need Matplotlib, of the extra 'train'; each function returns the bytes of a PNG, dark on white. A page
shows them on a white card, which suits light and dark screens alike.
"""

from __future__ import annotations

import base64
import io
import json
import math
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from kalamos.errors import ImageError, MissingExtraError, OutputError
from kalamos.evaluation.calibration import COVERAGES
from kalamos.evaluation.evaluate import Evaluation
from kalamos.evaluation.metrics import Reliability
from kalamos.privacy import import_matplotlib
from kalamos.recognizer import Recognizer
from kalamos.utils.atomic_write import write_bytes
from kalamos.writers.base import one_line

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from rich.console import Console
    from rich.text import Text

__all__ = [
    "PLOTS",
    "confusion_plot",
    "drawing",
    "fit_image",
    "make_folder",
    "percent",
    "print_figures",
    "print_lines",
    "print_table",
    "reliability_plot",
    "render_page",
    "report_json",
    "risk_coverage_plot",
    "save_file",
    "save_files",
    "seen_by",
    "tile_uri",
    "today",
    "without_nan",
]

Grey: TypeAlias = NDArray[np.uint8]

TEMPLATES = Path(__file__).with_name("templates")

PLOT_PIXELS_PER_CSS_PIXEL = 1.6
"""So that plots are sharp on fine screens and on paper."""

MAX_TILE_SIDE = 96
"""Pixels of a tile's longer side: a page of photographs stays a page."""

MAX_PNG_TILE_BYTES = 4096
"""Above this size a tile becomes a JPEG: as PNG, a page of noise is tens of megabytes."""

TILE_JPEG_QUALITY = 80

PLOT_DPI = 160
MAX_NUMBERED_CLASSES, MAX_LABELLED_CLASSES = 26, 130
"""Classes up to which every cell has its count, and every row and column its label."""
MAX_CURVE_POINTS = 1000
"""Most points of a curve that are drawn."""


PAPER_COLOUR, INK_COLOUR, FAINT_COLOUR, LINE_COLOUR = "#ffffff", "#1b1f24", "#6b7280", "#e3e6ea"
RIGHT_COLOUR, WRONG_COLOUR = "#0072b2", "#d55e00"
"""Blue and vermilion differ for colour-blind readers too (Okabe and Ito 2008)."""

MISTAKE_COLOURS: Final = ("#fde3cf", "#f9b27c", "#ea7a2e", "#c24a00", "#6d2500")
"""From one mistake to many."""


def render_page(template: str, **content: Any) -> str:
    """Render a page from a template.

    Args:
        template: name of a file in `templates`.
        content: the template's variables.
    """
    return _environment().get_template(template).render(content)


@lru_cache(maxsize=1)
def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "bdi": _isolate,
        "count": "{:,}".format,
        "css_size": _css_size,
        "data_uri": data_uri,
        "one_line": one_line,
        "percent": percent,
        "tile": tile_uri,
    }
    return environment


def _isolate(text: object, css_class: str = "") -> Markup:
    """Escape text, on one line and with its own direction."""
    from markupsafe import Markup

    attribute = Markup(' class="{}"').format(css_class) if css_class else ""
    return Markup("<bdi{}>{}</bdi>").format(attribute, one_line(str(text)))


def _css_size(png: bytes) -> tuple[int, int]:
    """Width and height in CSS pixels at which to show a plot."""
    width, height = int.from_bytes(png[16:20]), int.from_bytes(png[20:24])
    return round(width / PLOT_PIXELS_PER_CSS_PIXEL), round(height / PLOT_PIXELS_PER_CSS_PIXEL)


def percent(share: float | None) -> str:
    """Write a share with two decimals, or a dash for None.

    >>> percent(0.9934), percent(None)
    ('99.34%', '–')
    """
    return "–" if share is None else f"{share:.2%}"


def data_uri(image: bytes) -> str:
    r"""Encode a PNG's or a JPEG's bytes as a data URI.

    >>> data_uri(b"\xff\xd8")
    'data:image/jpeg;base64,/9g='
    """
    kind = "jpeg" if image.startswith(b"\xff\xd8") else "png"
    return f"data:image/{kind};base64,{base64.b64encode(image).decode()}"


def tile_uri(image: Grey, max_side: int = MAX_TILE_SIDE) -> str:
    """Encode an image uint8 [H, W] as a data URI, reduced to `max_side` px if it is larger."""
    small = fit_image(image, max_side) if max(image.shape) > max_side else image
    _, png = cv2.imencode(".png", small)
    if len(png) <= MAX_PNG_TILE_BYTES:
        return data_uri(png.tobytes())
    _, jpeg = cv2.imencode(".jpg", small, (cv2.IMWRITE_JPEG_QUALITY, TILE_JPEG_QUALITY))
    return data_uri(jpeg.tobytes())


def fit_image(image: Grey, side: int) -> Grey:
    """Enlarge or reduce an image uint8 [H, W] so that its longer side is `side` px.

    Enlarging keeps the pixels visible.

    >>> fit_image(np.zeros((28, 14), np.uint8), 84).shape
    (84, 42)
    """
    height, width = image.shape
    scale = side / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    method = cv2.INTER_NEAREST if scale >= 1 else cv2.INTER_AREA
    return cv2.resize(image, size, interpolation=method)  # type: ignore[return-value]


def seen_by(reader: Recognizer, image: Grey) -> Grey:
    """Return what the model saw of an image, uint8 [S, S]; a black pixel if no ink was found."""
    try:
        return reader.prepare(image)
    except ImageError:
        return np.zeros((1, 1), np.uint8)


def print_lines(console: Console, *lines: str) -> None:
    """Print each text on a line of its own, however long: a terminal wraps it, a pipe does not."""
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def print_figures(console: Console, title: str, figures: Iterable[tuple[str, str]]) -> None:
    """Print a title, then a line for each name and figure."""
    print_lines(console, title, *(f"  {name:<13} {figure}" for name, figure in figures))


def print_table(
    console: Console, heads: Sequence[str], rows: Iterable[Sequence[str | Text]], *, text_columns: int = 1
) -> None:
    """Print an empty line and a table, its first `text_columns` to the left, figures to the right.

    Cells are plain text: a label `[red]` is no markup.
    """
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, collapse_padding=True)
    for index, head in enumerate(heads):
        table.add_column(head, justify="left" if index < text_columns else "right")
    for row in rows:
        table.add_row(*(Text(cell) if isinstance(cell, str) else cell for cell in row))
    console.print()
    console.print(table)


def report_json(figures: Mapping[str, Any]) -> str:
    """Write figures as JSON that people can read too: a line for each key, and for each row of a table.

    Raises:
        ValueError: a figure is NaN or infinite; see `without_nan`.

    >>> print(report_json({"n": 2, "confusion": [[1, 0], [0, 1]]}), end="")
    {
      "n": 2,
      "confusion": [
        [1, 0],
        [0, 1]
      ]
    }
    """

    def dump(value: object) -> str:
        return json.dumps(value, ensure_ascii=False, allow_nan=False)

    def item(value: object) -> str:
        if isinstance(value, list) and value and isinstance(value[0], (dict, list)):
            return "[\n    " + ",\n    ".join(map(dump, value)) + "\n  ]"
        return dump(value)

    return "{\n" + ",\n".join(f"  {dump(key)}: {item(value)}" for key, value in figures.items()) + "\n}\n"


def without_nan(value: Any) -> Any:
    """Replace each NaN and infinity in nested dicts and lists by None.

    >>> without_nan({"ece": float("nan"), "shares": [0.5, float("inf")]})
    {'ece': None, 'shares': [0.5, None]}
    """
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: without_nan(each) for key, each in value.items()}
    return [without_nan(each) for each in value] if isinstance(value, list) else value


def today() -> str:
    """Return the date in UTC, ISO 8601."""
    return datetime.now(UTC).date().isoformat()


def make_folder(folder: Path) -> None:
    """Create a report's folder and those above it; it may exist.

    Raises:
        OutputError: something is in the way.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise OutputError(f"{folder}: cannot be made ({reason})", remedy="choose another folder") from error


def save_files(folder: Path, contents: Mapping[str, bytes | str]) -> tuple[str, ...]:
    """Write a report's files, each whole or not at all, replacing those of an earlier report.

    Returns:
        Their names.

    Raises:
        OutputError: the folder or a file cannot be written.
    """
    make_folder(folder)
    for name, content in contents.items():
        save_file(folder / name, content)
    return tuple(contents)


def save_file(path: Path, content: bytes | str) -> None:
    """Write a file whole or not at all; what UTF-8 cannot hold is written as an escape sequence.

    Raises:
        OutputError: it cannot be written.
    """
    write_bytes(path, content.encode("utf-8", "backslashreplace") if isinstance(content, str) else content)


def require() -> None:
    """Raise `MissingExtraError` unless Matplotlib is installed."""
    try:
        import_matplotlib()
    except ImportError as error:
        raise MissingExtraError("plots need matplotlib, not installed here", extra="train") from error


def confusion_plot(measured: Evaluation) -> bytes:
    """Row = truth, column = answer: right readings in blue by recall, mistakes in orange, logarithmic.

    A scale for each, so that a single mistake is seen beside thousands of right readings.
    """
    classes = len(measured.labels)
    cell = np.interp(classes, [10, 62, 130, 500], [0.46, 0.2, 0.1, 0.024])
    side = max(3.2, float(cell) * classes)
    with drawing(side + 2.1, side + 1.0) as (figure, done):
        from matplotlib.colors import LinearSegmentedColormap, LogNorm, Normalize

        axes = figure.add_axes(
            (1.0 / (side + 2.1), 0.72 / (side + 1.0), side / (side + 2.1), side / (side + 1))
        )
        counts = measured.confusion
        diagonal = np.eye(classes, dtype=bool)
        recall = np.where(diagonal, measured.classes.recall[:, np.newaxis], np.nan)
        blues = LinearSegmentedColormap.from_list("right", [LINE_COLOUR, RIGHT_COLOUR])
        axes.imshow(recall, cmap=blues, norm=Normalize(0, 1), interpolation="nearest")
        mistakes = np.where(diagonal | (counts == 0), np.nan, counts)
        oranges = LinearSegmentedColormap.from_list("mistakes", MISTAKE_COLOURS)
        most = int(np.where(diagonal, 0, counts).max())
        shown = axes.imshow(mistakes, cmap=oranges, norm=LogNorm(1, max(most, 10)), interpolation="nearest")
        _label_cells(axes, measured, cell_inches=float(cell))
        axes.set_xlabel("read as", labelpad=8)
        axes.set_ylabel("true label", labelpad=8)
        bar = figure.add_axes(
            (
                (1.35 + side) / (side + 2.1),
                0.72 / (side + 1.0),
                0.13 / (side + 2.1),
                min(side, 3.2) / (side + 1),
            )
        )
        scale = figure.colorbar(shown, cax=bar, format="{x:,.0f}")
        scale.minorticks_off()
        scale.set_label("images misread so", color=FAINT_COLOUR)
        scale.outline.set_visible(False)
        return done()


def reliability_plot(bins: Reliability) -> bytes:
    """Accuracy and confidence of each bin, from the least confident answers to the most confident."""
    with drawing(5.6, 5.6) as (figure, done):
        axes = figure.subplots()
        figure.subplots_adjust(left=0.15, right=0.94, top=0.92, bottom=0.1)
        ends = np.cumsum(bins.counts) / max(int(bins.counts.sum()), 1)
        starts = np.append(0.0, ends[:-1])[: len(ends)]
        x, y, sure = (starts + ends) / 2, bins.accuracy, bins.confidence
        spread = np.clip([y - bins.low, bins.high - y], 0, 1)
        # What is orange is, over the whole width, the calibration error.
        axes.bar(x, y - sure, ends - starts, sure, color=WRONG_COLOUR, alpha=0.3, linewidth=0)
        axes.hlines(sure, starts, ends, color=FAINT_COLOUR, linewidth=2.2, label="confidence")
        axes.errorbar(
            x, y, spread, fmt="o", markersize=5, color=RIGHT_COLOUR, elinewidth=1.4, capsize=3, clip_on=False,
            label="accuracy",
        )  # fmt: skip
        least = min(1.0, *(y - spread[0]), *sure) if len(ends) else 0.0
        bottom = min(math.floor(20 * least) / 20, 0.95)
        axes.set(xlim=(0, 1), ylim=(bottom - 0.02 * (1 - bottom), 1 + 0.02 * (1 - bottom)))
        axes.set(xlabel="share of the answers, the least confident first", ylabel="confidence, accuracy")
        axes.set_title(f"Reliability: ECE {_percent(bins.ece)}", loc="left")
        if len(ends):
            axes.legend(loc="lower right", frameon=False)
        axes.xaxis.set_major_formatter("{x:.0%}")
        axes.yaxis.set_major_formatter("{x:.0%}")
        return done()


def risk_coverage_plot(measured: Evaluation) -> bytes:
    """The share of errors among the surest images, for every share of images answered."""
    curve = measured.selective
    with drawing(5.6, 5.6) as (figure, done):
        axes = figure.subplots()
        figure.subplots_adjust(left=0.15, right=0.94, top=0.92, bottom=0.1)
        kept = np.unique(np.linspace(0, measured.n - 1, MAX_CURVE_POINTS).round().astype(int))
        coverage = (kept + 1) / measured.n
        axes.fill_between(coverage, curve.risk[kept], color=RIGHT_COLOUR, alpha=0.12, linewidth=0)
        axes.plot(coverage, curve.risk[kept], color=RIGHT_COLOUR, linewidth=1.8)
        top = max(float(curve.risk[kept].max()) * 1.25, 1e-3)
        for share in (*COVERAGES, 1.0):
            risk = 1 - curve.accuracy_at(share)
            axes.vlines(share, 0, risk, color=FAINT_COLOUR, linewidth=0.8, linestyle=(0, (2, 3)))
            axes.plot(share, risk, "o", color=WRONG_COLOUR, markersize=5)
        told = "\n".join(f"{_share(c)} answered: {curve.accuracy_at(c):.2%} right" for c in (*COVERAGES, 1.0))
        axes.text(0.04, 0.96, told, transform=axes.transAxes, va="top", linespacing=1.6, color=INK_COLOUR)
        axes.set(xlim=(0, 1.01), ylim=(0, top), xlabel="share of images answered, the surest first")
        axes.set_ylabel("share of those misread")
        axes.set_title(f"Risk and coverage: AURC {curve.area:.2g}", loc="left")
        axes.xaxis.set_major_formatter("{x:.0%}")
        axes.yaxis.set_major_formatter(_percent_axis(top))
        return done()


@contextmanager
def drawing(width: float, height: float, **options: Any) -> Iterator[tuple[Figure, Callable[[], bytes]]]:
    """Make a figure of so many inches, and a function that returns it as PNG.

    Without pyplot, which would keep the figure alive and choose a window system. `options` are
    for Matplotlib.
    """
    require()
    import matplotlib as mpl
    from matplotlib.figure import Figure

    style: Any = {
        "font.family": "DejaVu Sans",
        "font.size": 9,
        "axes.titlesize": 10.5,
        "axes.titleweight": "bold",
        "text.color": INK_COLOUR,
        "axes.titlecolor": INK_COLOUR,
        "axes.labelcolor": FAINT_COLOUR,
        "axes.edgecolor": LINE_COLOUR,
        "axes.facecolor": PAPER_COLOUR,
        "figure.facecolor": PAPER_COLOUR,
        "xtick.color": LINE_COLOUR,
        "ytick.color": LINE_COLOUR,
        "xtick.labelcolor": FAINT_COLOUR,
        "ytick.labelcolor": FAINT_COLOUR,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "text.parse_math": False,  # a label may hold a dollar sign
    }
    # From the defaults: a user's matplotlibrc is for other plots, and may ask for a TeX that is not there.
    with mpl.rc_context(), warnings.catch_warnings():
        mpl.rcdefaults()
        mpl.rcParams.update(style)
        # A label in a script that the font lacks is a box in the picture, not the end of a report.
        warnings.filterwarnings("ignore", message=r"Glyph .* missing from", category=UserWarning)
        figure = Figure(figsize=(width, height), **options)

        def done() -> bytes:
            content = io.BytesIO()
            figure.savefig(content, format="png", dpi=PLOT_DPI, metadata={"Software": None})
            return content.getvalue()

        yield figure, done


def _label_cells(axes: Axes, measured: Evaluation, *, cell_inches: float) -> None:
    classes = len(measured.labels)
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(True)
    # Above this, every n-th label, so that they do not run into one another.
    step = max(1, -(-classes // MAX_LABELLED_CLASSES))
    positions = list(range(0, classes, step))
    points = min(10.0, 72 * cell_inches * step * 0.62)
    labels = [_cut(measured.labels[position]) for position in positions]
    across = 90 if max(map(len, labels)) > 2 else 0
    axes.set_xticks(positions, labels, fontsize=points, rotation=across, color=INK_COLOUR)
    axes.set_yticks(positions, labels, fontsize=points, color=INK_COLOUR)
    if classes > MAX_NUMBERED_CLASSES:  # far from the axis, a column is followed upwards as well
        axes.tick_params(labeltop=True, labelright=True)
    if classes > MAX_LABELLED_CLASSES:
        return
    axes.set_xticks(np.arange(0.5, classes - 1), minor=True)
    axes.set_yticks(np.arange(0.5, classes - 1), minor=True)
    axes.grid(which="minor", color=LINE_COLOUR, linewidth=0.4)
    axes.tick_params(which="minor", length=0)
    if classes > MAX_NUMBERED_CLASSES:
        return
    counts = measured.confusion
    most = max(10, int(np.where(np.eye(classes, dtype=bool), 0, counts).max()))
    for row, column in np.argwhere(counts).tolist():
        count = int(counts[row, column])
        depth = measured.classes.recall[row] if row == column else np.log(count) / np.log(most)
        strong = depth > 0.5
        colour = PAPER_COLOUR if strong else INK_COLOUR
        size = min(9.0, 72 * cell_inches * 0.3)
        axes.text(column, row, _short(count), ha="center", va="center", fontsize=size, color=colour)


def _cut(label: str) -> str:
    return label if len(label) <= 12 else f"{label[:11]}…"


def _short(count: int) -> str:
    if count < 10_000:
        return str(count)
    return f"{count / 1000:.0f}k" if count < 1_000_000 else f"{count / 1e6:.1f}M"


def _share(share: float) -> str:
    return f"{share:.0%}".rjust(4)


def _percent(value: float) -> str:
    return "–" if np.isnan(value) else f"{value:.2%}"


def _percent_axis(top: float) -> str:
    return "{x:.0%}" if top > 0.05 else "{x:.1%}" if top > 0.005 else "{x:.2%}"


PLOTS: Final[dict[str, Callable[[Evaluation], bytes]]] = {
    "confusion": confusion_plot,
    "reliability": lambda measured: reliability_plot(measured.reliability),
    "risk_coverage": risk_coverage_plot,
}
"""By the name of the file that a report gives each."""
