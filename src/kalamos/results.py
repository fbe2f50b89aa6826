"""Predictions kept together: saved, summed up, as a data frame, as a table in a notebook."""

from __future__ import annotations

import base64
import html
import os
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, overload

from kalamos.errors import ImageError, MissingExtraError, UsageError
from kalamos.predictions import Prediction
from kalamos.utils.atomic_write import atomic_write
from kalamos.writers import CsvStyle, Summary, check_ending, columns_of, format_for, open_writer

if TYPE_CHECKING:
    import pandas as pd  # type: ignore[import-untyped, unused-ignore]
    import polars as pl  # type: ignore[import-not-found, unused-ignore]

__all__ = ["FolderResults", "Results", "predictions_html"]

MAX_HTML_ROWS: Final = 50
"""Rows that a notebook shows of many."""

MAX_HTML_TEXT_CHARACTERS: Final = 200
"""Characters shown of a path or of an error."""

THUMBNAIL_SIDE_PX: Final = 48
MAX_THUMBNAIL_BYTES: Final = 8_000
"""Of one PNG: 50 of them are 0.5 MB of a notebook at most."""

MAX_THUMBNAIL_SOURCE_PIXELS: Final = 20_000_000
THUMBNAIL_SECONDS: Final = 2.0
"""For decoding one image again; a larger or a slower one is shown without its picture."""


class _PredictionTable(ABC):
    """What can be done with predictions in order."""

    @abstractmethod
    def _all(self) -> Sequence[Prediction]:
        """All predictions."""

    @property
    def failed(self) -> Results:
        """Those whose image could not be used."""
        return Results(prediction for prediction in self._all() if prediction.error is not None)

    def summary(self) -> Summary:
        """Count what was read, abstained and failed."""
        summary = Summary()
        for prediction in self._all():
            summary.add(prediction)
        return summary

    def save(self, path: str | os.PathLike[str], *, top_k: int = 5) -> Path:
        """Write a file in the format that its name promises: .csv, .json, .jsonl, .parquet, .xlsx or .txt.

        The file holds what that of `kalamos predict -o` holds, and appears whole or not at all.

        Args:
            path: the file; one that is there is replaced.
            top_k: candidates to write of each prediction, 0 or more.

        Returns:
            The path.

        Raises:
            UsageError: no format has such an ending.
            OutputError: the file cannot be written.
            MissingExtraError: Parquet, without pyarrow; xlsx, without openpyxl.

        >>> import tempfile
        >>> folder = tempfile.TemporaryDirectory()
        >>> saved = Results([Prediction("7", 0.998)]).save(Path(folder.name) / "labels.csv", top_k=0)
        >>> saved.read_text().splitlines()[1]
        ',7,0.998000,false,'
        >>> folder.cleanup()
        """
        format_name = format_for(os.fspath(path))
        if format_name is None:
            raise UsageError(
                f"{os.fspath(path)}: the ending is of no output format",
                remedy="name a .csv, .json, .jsonl, .parquet, .xlsx or .txt file",
            )
        self._write(format_name, path, top_k)
        return Path(path)

    def to_csv(
        self, path: str | os.PathLike[str], *, top_k: int = 5, formula_guard: bool = True, bom: bool = False
    ) -> None:
        """Write CSV; raises as `save` does.

        Args:
            path: the file.
            top_k: candidates to write of each prediction, 0 or more.
            formula_guard: whether cells that a spreadsheet would run as formulas are made text; see
                `kalamos.writers.tables.CsvWriter`.
            bom: whether the file begins with a byte order mark, which Excel needs to read Arabic and accents.
        """
        self._write("csv", path, top_k, CsvStyle(formula_guard=formula_guard, bom=bom))

    def to_json(self, path: str | os.PathLike[str], *, top_k: int = 5) -> None:
        """Write a JSON list; see `save`."""
        self._write("json", path, top_k)

    def to_jsonl(self, path: str | os.PathLike[str], *, top_k: int = 5) -> None:
        """Write JSON Lines; see `save`."""
        self._write("jsonl", path, top_k)

    def to_parquet(self, path: str | os.PathLike[str], *, top_k: int = 5) -> None:
        """Write Parquet; see `save`."""
        self._write("parquet", path, top_k)

    def to_xlsx(self, path: str | os.PathLike[str], *, top_k: int = 5) -> None:
        """Write a workbook with the doubtful rows coloured (`kalamos.writers.spreadsheet`); see `save`."""
        self._write("xlsx", path, top_k)

    def _write(
        self,
        format: str,  # noqa: A002
        path: str | os.PathLike[str],
        top_k: int,
        csv_style: CsvStyle = CsvStyle(),  # noqa: B008  (frozen)
    ) -> None:
        check_ending(os.fspath(path), format)
        rows = self._all()
        optional = columns_of(rows)
        # No labels: only the ascii format asks for them.
        with (
            atomic_write(path) as sink,
            open_writer(
                format, sink, labels=(), top_k=top_k, columns=optional, csv_style=csv_style
            ) as writer,
        ):
            for prediction in rows:
                writer.write(prediction)

    def to_pandas(self, *, top_k: int = 5) -> pd.DataFrame:
        """A data frame with a row per image and the columns of the CSV: path, label, confidence, ...

        Labels stay text ("2", not 2.0); what is missing is None, in confidences NaN.

        Raises:
            MissingExtraError: pandas is not installed.

        >>> frame = Results([Prediction("2", 0.998), Prediction(None, None)]).to_pandas(top_k=0)
        >>> frame["label"].tolist()
        ['2', None]
        """
        try:
            import pandas as pd
        except ImportError as error:
            raise MissingExtraError("pandas is not installed", remedy="pip install pandas") from error
        return pd.DataFrame(
            {
                name: pd.Series(values, dtype=_PANDAS_TYPES[kind])
                for name, kind, values in self._columns(top_k)
            }
        )

    def to_polars(self, *, top_k: int = 5) -> pl.DataFrame:
        """As `to_pandas`, for polars; what is missing is null.

        Raises:
            MissingExtraError: polars is not installed.
        """
        try:
            import polars as pl
        except ImportError as error:
            raise MissingExtraError("polars is not installed", remedy="pip install polars") from error
        types = {str: pl.String, float: pl.Float64, bool: pl.Boolean}
        columns = self._columns(top_k)
        return pl.DataFrame(
            {name: values for name, _, values in columns},
            schema={name: types[kind] for name, kind, _ in columns},
        )

    def _columns(self, top_k: int) -> list[tuple[str, type, list[Any]]]:
        """Name, type and values of each column of the CSV."""
        if top_k < 0:
            raise UsageError(f"top_k is {top_k}", remedy="give the number of candidates, 0 or more")
        rows = self._all()
        columns: list[tuple[str, type, list[Any]]] = [
            ("path", str, [row.path for row in rows]),
            ("label", str, [row.label for row in rows]),
            ("confidence", float, [row.confidence for row in rows]),
            *(
                (name, str if name == "reason" else float, [getattr(row, name) for row in rows])
                for name in columns_of(rows)
            ),
            ("abstained", bool, [row.abstained for row in rows]),
            ("error", str, [None if row.error is None else str(row.error) for row in rows]),
        ]
        for rank in range(1, top_k + 1):
            tops = [row.top[rank - 1] if len(row.top) >= rank else (None, None) for row in rows]
            columns.append((f"top{rank}", str, [label for label, _ in tops]))
            columns.append((f"top{rank}_confidence", float, [share for _, share in tops]))
        return columns

    def _repr_html_(self) -> str:
        return predictions_html(self._all())


_PANDAS_TYPES: Final[dict[type, str]] = {str: "object", float: "float64", bool: "bool"}


class Results(list[Prediction], _PredictionTable):
    """A list of predictions that can be saved, summed up, and shown in a notebook.

    >>> results = Results([Prediction("7", 0.998), Prediction(None, 0.41, abstained=True)])
    >>> results.summary().read
    1
    """

    def _all(self) -> Sequence[Prediction]:
        return self


class FolderResults(_PredictionTable, Sequence[Prediction]):
    """The predictions for a folder, read as they are iterated over, so that memory does not grow with it.

    Whatever needs all of them (`save`, `to_pandas`, `len`, an index, a notebook) reads and keeps them all;
    after that they can be iterated over again.

    >>> rows = FolderResults(iter([Prediction("7", 0.998), Prediction("1", 0.9)]))
    >>> len(rows), rows[1].label, [row.label for row in rows]
    (2, '1', ['7', '1'])
    """

    def __init__(self, stream: Iterable[Prediction]) -> None:
        self._stream = iter(stream)
        self._taken = 0
        self._kept: Results | None = None

    def __iter__(self) -> Iterator[Prediction]:
        return self if self._kept is None else iter(self._kept)

    def __next__(self) -> Prediction:
        prediction = next(self._stream)
        self._taken += 1
        return prediction

    def __len__(self) -> int:
        return len(self._all())

    @overload
    def __getitem__(self, index: int) -> Prediction: ...
    @overload
    def __getitem__(self, index: slice) -> Results: ...
    def __getitem__(self, index: int | slice) -> Prediction | Results:
        chosen = self._all()[index]
        return chosen if isinstance(chosen, Prediction) else Results(chosen)

    def __eq__(self, other: object) -> bool:
        return list(self._all()) == other if isinstance(other, list) else self is other

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        if self._kept is None:
            return f"<FolderResults, {self._taken} images read so far>"
        return repr(self._kept)

    def _all(self) -> Sequence[Prediction]:
        if self._kept is None:
            if self._taken:
                raise UsageError(
                    f"{self._taken} predictions were iterated over and not kept",
                    remedy="keep them all: results = kalamos.Results(model.predict_folder(...))",
                )
            self._kept = Results(self._stream)
            # `list` asks for an iterator first and for the length, which reads all, second.
            self._stream = iter(self._kept)
        return self._kept


def predictions_html(predictions: Sequence[Prediction]) -> str:
    """A table for a notebook: picture, label, confidence, path or error; of the first rows of many.

    All text is escaped and cut to a bounded length; pictures are small PNGs inside the page.

    >>> "<td>7</td><td>99.8 %</td>" in predictions_html([Prediction("7", 0.998, path="<b>.png")])
    True
    """
    shown = predictions[:MAX_HTML_ROWS]
    rows = "".join(
        f"<tr><td>{_picture(each)}</td><td>{_text(each.label or '')}</td>"
        f"<td>{'' if each.confidence is None else f'{each.confidence:.1%}'.replace('%', ' %')}</td>"
        f"<td>{_text(_remark(each))}</td></tr>"
        for each in shown
    )
    more = len(predictions) - len(shown)
    rest = f"<p>and {more:,} more</p>" if more else ""
    head = "<tr><th></th><th>label</th><th>confidence</th><th></th></tr>"
    return f"<table><thead>{head}</thead><tbody>{rows}</tbody></table>{rest}"


def _remark(prediction: Prediction) -> str:
    if prediction.error is not None:
        return str(prediction.error)
    abstained = ""
    if prediction.abstained and prediction.top:
        abstained = f"{prediction.reason or 'abstained'}; best: {prediction.top[0].label}"
    return "; ".join(filter(None, (prediction.path, abstained)))


def _text(text: str) -> str:
    cut = text if len(text) <= MAX_HTML_TEXT_CHARACTERS else f"{text[:MAX_HTML_TEXT_CHARACTERS]}…"
    return html.escape(cut.encode("utf-8", "replace").decode())


def _picture(prediction: Prediction) -> str:
    content = _thumbnail(prediction)
    if content is None or len(content) > MAX_THUMBNAIL_BYTES:
        return ""
    return f'<img alt="" src="data:image/png;base64,{base64.b64encode(content).decode()}">'


def _thumbnail(prediction: Prediction) -> bytes | None:
    """A small PNG of the image's file, or of what the model saw of an image without one."""
    import cv2

    from kalamos.images import load_grey

    grey = prediction.prepared
    if prediction.path is not None and grey is None:
        if not os.path.isfile(prediction.path):  # noqa: PTH113  (members of archives have no file)
            return None
        try:
            grey = load_grey(
                prediction.path, max_pixels=MAX_THUMBNAIL_SOURCE_PIXELS, timeout=THUMBNAIL_SECONDS
            )
        except ImageError:
            return None
    if grey is None:
        return None
    scale = THUMBNAIL_SIDE_PX / max(grey.shape)
    if scale < 1:
        height, width = (max(1, round(side * scale)) for side in grey.shape)
        grey = cv2.resize(grey, (width, height), interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
    done, content = cv2.imencode(".png", grey)
    return content.tobytes() if done else None
