"""The door to forms: load a template, read scans with it, print it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from kalamos.errors import UsageError
from kalamos.forms.filled import FilledForm
from kalamos.forms.template import FormTemplate
from kalamos.inputs import InputSearch

if TYPE_CHECKING:
    import pandas as pd  # type: ignore[import-untyped, unused-ignore]

    from kalamos.forms.reader import FormReader
    from kalamos.images import ImageSource

__all__ = ["FilledForms", "Form"]


class FilledForms(list[FilledForm]):
    """Many forms that were read, with the template that they are of."""

    def __init__(self, template: FormTemplate, forms: Iterable[FilledForm]) -> None:
        super().__init__(forms)
        self.template = template

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the table: a row a form, a column a field. Rows of other scans that are there stay.

        Args:
            path: ends with .csv, .xlsx or .jsonl.

        Raises:
            UsageError: another ending, or what is there is no table of this form.
            OutputError: it cannot be written.
        """
        from kalamos.forms.table import FormTable

        table = FormTable(self.template, path)
        for form in self:
            if form.path not in table.known_scans:
                table.add(form)
        table.save()
        return Path(path)

    def to_pandas(self) -> pd.DataFrame:
        """Return the table as pandas has it.

        Raises:
            UsageError: pandas is not installed.
        """
        from importlib import import_module

        from kalamos.forms.table import columns_of, row_of

        try:
            pandas = import_module("pandas")
        except ModuleNotFoundError as error:
            raise UsageError("to_pandas needs pandas", remedy="pip install pandas") from error
        table: pd.DataFrame = pandas.DataFrame(map(row_of, self), columns=list(columns_of(self.template)))
        return table


class Form(FormTemplate):
    """A form that can be read and printed.

    ```python
    form = kalamos.Form.load("form.toml")
    print(form.read("scan.jpg").fields["student"].text)
    form.read_all("scans/").save("table.xlsx")
    ```
    """

    @cached_property
    def _reader(self) -> FormReader:
        from kalamos.forms.reader import FormReader

        return FormReader(self)

    def read(self, *scans: ImageSource) -> FilledForm:
        """Read one form: a scan for each of its pages, in any order.

        Returns:
            The filled form; a scan that cannot be read, or does not show this form, is told in it.

        Raises:
            FormError: the template names a model, charset, pattern or check that does not exist.
        """
        return self._reader.read(*scans)

    def read_all(
        self, scans: str | os.PathLike[str] | Iterable[str | os.PathLike[str]], *, jobs: int | None = None
    ) -> FilledForms:
        """Read all scans of a folder, or of a list of files and folders; PDFs page by page.

        Raises:
            UsageError: a folder is absent or holds no image.
            FormError: as `read`.
        """
        return FilledForms(self, self.stream(scans, jobs=jobs))

    def stream(
        self, scans: str | os.PathLike[str] | Iterable[str | os.PathLike[str]], *, jobs: int | None = None
    ) -> Iterator[FilledForm]:
        """Do as `read_all`, one form after the other."""
        paths = [scans] if isinstance(scans, (str, os.PathLike)) else list(scans)
        found = InputSearch([os.fspath(path) for path in paths], pdfs=True)
        return self._reader.read_all(iter(found), jobs=jobs)

    def print(self, path: str | os.PathLike[str], *, copies: int = 1) -> FormTemplate:
        """Write the form as a PDF to print; return the template that fits the prints, markers included.

        Raises:
            MissingExtraError: without `kalamos[forms]`.
            OutputError: it cannot be written.
            UsageError: the path does not end with .pdf.
        """
        from kalamos.forms.sheet import print_sheet

        return print_sheet(self, path, copies=copies)
