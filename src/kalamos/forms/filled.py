"""What is read from a form: a value for each field, how sure it is, and what it was read from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, Literal

from kalamos.errors import ImageError, UnregisteredError
from kalamos.pages import Character

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["UNREAD", "FieldReading", "FieldStatus", "FilledForm", "FormStatus", "Scan"]

FieldStatus = Literal["ok", "check", "blank", "missing"]
"""Sure enough; to be looked at by a person; nothing is written; the page with the field is missing."""

FormStatus = Literal["ok", "check", "incomplete", "unregistered", "error"]
"""All fields are sure; some are to be looked at; pages are missing; the scan does not show the form; it
cannot be read at all."""


UNREAD: Final[frozenset[FormStatus]] = frozenset({"unregistered", "error"})
"""What a form has that nothing was read of."""


@dataclass(frozen=True, slots=True)
class FieldReading:
    """The value of one field.

    Attributes:
        text: what is written; "" for a blank field, None where nothing could be read.
        status: whether it is sure.
        probability: how sure the text is, in [0, 1], against all other strings, those that break the field's
            rules included.
        runners_up: the next most likely texts that keep the rules, with their probabilities.
        boxes: what was read in each box, in the order of the template's; None for a blank one.
        corners: of each box on its scan, (x, y) in px, clockwise from the top left.
        scan: which of the form's scans it is on, from 0; None where its page is missing.
    """

    text: str | None
    status: FieldStatus
    probability: float = 0.0
    runners_up: tuple[tuple[str, float], ...] = ()
    boxes: tuple[Character | None, ...] = ()
    corners: tuple[tuple[tuple[float, float], ...], ...] = ()
    scan: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {
            "text": self.text,
            "status": self.status,
            "probability": round(self.probability, 6),
            "runners_up": [[text, round(share, 6)] for text, share in self.runners_up],
            "boxes": [None if box is None else box.to_dict() for box in self.boxes],
            "corners": [[[round(x, 1), round(y, 1)] for x, y in box] for box in self.corners],
            "scan": self.scan,
        }


@dataclass(frozen=True)
class Scan:
    """One picture of a form.

    Attributes:
        path: its name; None for arrays and bytes.
        page: which page of the template it shows, from 1; None where it shows none.
        method: how it was registered: "markers", "features" or "frames"; "" where it was not.
        misfit: how far the form's places are off on it, see `kalamos.forms.registration`.
        sheet: the sheet's number, from its printed code.
        error: why it could not be read or registered.
        image: the picture, uint8 [H, W].
    """

    path: str | None
    page: int | None = None
    method: str = ""
    misfit: float | None = None
    sheet: str | None = None
    error: ImageError | None = None
    image: NDArray[np.uint8] | None = field(default=None, compare=False, repr=False)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types: everything but the picture."""
        return {
            "path": self.path,
            "page": self.page,
            "method": self.method,
            "misfit": None if self.misfit is None else round(self.misfit, 4),
            "sheet": self.sheet,
            "error": None if self.error is None else str(self.error),
        }


@dataclass(frozen=True)
class FilledForm:
    """One form, read: a row of the table.

    Attributes:
        fields: by name, in the template's order.
        scans: what it was read from, one for each page of the form.
        made_by: kalamos's version, the models (name and file's hash) and how sure `ok` is.

    >>> form = FilledForm({"mark": FieldReading("12", "ok", 0.99)}, (Scan("a.png", 1),))
    >>> form.status, form.fields["mark"].text
    ('ok', '12')
    """

    fields: Mapping[str, FieldReading]
    scans: tuple[Scan, ...]
    made_by: str = ""

    @property
    def status(self) -> FormStatus:
        """The worst of what happened."""
        if any(scan.error is not None and scan.page is None for scan in self.scans):
            unregistered = all(
                scan.error is None or isinstance(scan.error, UnregisteredError) for scan in self.scans
            )
            return "unregistered" if unregistered else "error"
        statuses = {reading.status for reading in self.fields.values()}
        if "missing" in statuses:
            return "incomplete"
        return "check" if "check" in statuses else "ok"

    @property
    def path(self) -> str:
        """The names of its scans, a semicolon and a space between them."""
        return "; ".join(scan.path or "" for scan in self.scans)

    @property
    def sheet(self) -> str | None:
        """The sheet's number, if a printed code says it."""
        return next((scan.sheet for scan in self.scans if scan.sheet is not None), None)

    @property
    def problem(self) -> str:
        """Why scans could not be read, in words; "" if all were."""
        return "; ".join(str(scan.error) for scan in self.scans if scan.error is not None)

    def without_pictures(self) -> FilledForm:
        """Return the like without the scans' pictures, which take megabytes each."""
        return replace(self, scans=tuple(replace(scan, image=None) for scan in self.scans))

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types: everything but the pictures."""
        return {
            "path": self.path,
            "sheet": self.sheet,
            "status": self.status,
            "error": self.problem or None,
            "fields": {name: reading.to_dict() for name, reading in self.fields.items()},
            "scans": [scan.to_dict() for scan in self.scans],
            "made_by": self.made_by,
        }

    def render(self, scan: int = 0) -> NDArray[np.uint8]:
        """Draw what was read over one of the scans: uint8 RGB [H, W, 3].

        Raises:
            UsageError: the form has no such picture.
        """
        drawn: NDArray[np.uint8] = import_module("kalamos.forms.rendering").render(self, scan)
        return drawn

    def show(self) -> None:
        """Open the pictures of `render` in the system's viewer."""
        from PIL import Image

        for number, scan in enumerate(self.scans):
            if scan.image is not None:
                Image.fromarray(self.render(number)).show()

    def _repr_html_(self) -> str:
        html: str = import_module("kalamos.forms.rendering").html_of(self)
        return html
