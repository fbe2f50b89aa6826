"""The report kit: pages, image tiles, tables on a terminal, JSON, and the files of a report.

A page is a Jinja2 template of the folder `templates`, with autoescaping: a label or a file name stays text,
whatever it holds. Each page is one file that needs no network: no scripts, images as data URIs, and a content
security policy that lets nothing else in. Labels and names stand in `<bdi>`, so that Arabic ones keep their
place in a line.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from kalamos.atomic import write_bytes
from kalamos.errors import ImageError, OutputError
from kalamos.recognizer import Recognizer
from kalamos.writers.escape import one_line

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup
    from rich.console import Console
    from rich.text import Text

__all__ = [
    "data_uri",
    "fit_image",
    "make_folder",
    "percent",
    "print_figures",
    "print_lines",
    "print_table",
    "render_page",
    "report_json",
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
