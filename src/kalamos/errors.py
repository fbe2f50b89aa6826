"""Every error that kalamos raises on purpose, in one tree.

```
KalamosError
├── ImageError                 one image cannot be used; a batch keeps it as a row
│   ├── ImageNotFoundError     no such file, or not a regular file, or not readable
│   ├── UnsupportedImageError  a format outside the allow-list, or a variant that loses ink
│   ├── CorruptImageError      truncated or damaged
│   ├── ImageTooLargeError     over the limit on pixels, bytes or memory
│   ├── ImageTimeoutError      decoding it takes too long
│   ├── InvalidArrayError      NaN, wrong shape, wrong dtype or wrong range
│   ├── NoInkError             readable, but nothing is written on it
│   ├── NotACharacterError     a person looked at it, and it shows no character
│   └── UnregisteredError      a scan on which no page of the form is found
├── ModelError
│   ├── ModelNotFoundError     neither a zoo name nor a file
│   ├── ModelFileError         not a model, damaged, unsafe, or at odds with its own spec
│   │   ├── UnsupportedModelError  operators or sizes that no network of characters needs
│   │   └── ModelAnswerError   fails on images, or answers NaN, infinity or another number of rows
│   └── SpecVersionError       the spec is missing or of a version this kalamos cannot read
├── PreprocessingError         an unknown step or a parameter out of range
├── AlphabetError              duplicate or empty labels, a label without one code point
├── UsageError                 options that contradict each other, or name nothing
│   └── MissingExtraError      the feature needs `pip install 'kalamos[...]'`
├── OutputError                the output could not be written
├── FormError                  a form template that is damaged or contradicts itself
├── DatasetError               a dataset that is absent, damaged or inconsistent
├── RecipeError                an unknown key or a value out of range
├── TrainingError              the run cannot start or went wrong
└── ExportError                the exported file does not agree with the network
```

A message says what was wrong, where, and (in `remedy`) how to mend it:

>>> error = KalamosError("no model is called 'digit'", remedy="did you mean 'digits'?")
>>> str(error)
"no model is called 'digit'; did you mean 'digits'?"
>>> error.remedy
"did you mean 'digits'?"
"""

from __future__ import annotations

import difflib
import sys
from collections.abc import Callable, Iterable, Mapping
from importlib.util import find_spec
from typing import Any, ClassVar

__all__ = [
    "AlphabetError",
    "CorruptImageError",
    "DatasetError",
    "ExportError",
    "FormError",
    "ImageError",
    "ImageNotFoundError",
    "ImageTimeoutError",
    "ImageTooLargeError",
    "InvalidArrayError",
    "KalamosError",
    "MissingExtraError",
    "ModelAnswerError",
    "ModelError",
    "ModelFileError",
    "ModelNotFoundError",
    "NoInkError",
    "NotACharacterError",
    "OutputError",
    "PreprocessingError",
    "RecipeError",
    "SpecVersionError",
    "TrainingError",
    "UnregisteredError",
    "UnsupportedImageError",
    "UnsupportedModelError",
    "UsageError",
    "first_line",
    "renamed",
    "require_extra",
    "suggest",
]


class KalamosError(Exception):
    """The root. `str(error)` is one line: the problem, then the remedy where one is known."""

    exit_code: ClassVar[int] = 2
    """What the command line exits with when this error stops it."""

    def __init__(self, problem: str, *, remedy: str = "") -> None:
        super().__init__(problem)
        self.problem = problem
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.problem}; {self.remedy}" if self.remedy else self.problem

    def __reduce__(self) -> tuple[object, ...]:
        # The default would lose `remedy`, which is keyword-only.
        return type(self), (self.problem,), {"problem": self.problem, "remedy": self.remedy}


class ImageError(KalamosError):
    """One image cannot be used. In a batch it becomes a row, never an end."""

    summary: ClassVar[str] = "unusable"
    """Two or three words for the kind, used where failures are counted."""


class ImageNotFoundError(ImageError):
    summary = "not found"


class UnsupportedImageError(ImageError):
    summary = "unsupported format"


class CorruptImageError(ImageError):
    summary = "damaged"


class ImageTooLargeError(ImageError):
    summary = "too large"


class ImageTimeoutError(ImageError):
    summary = "took too long"


class InvalidArrayError(ImageError):
    summary = "invalid array"


class NoInkError(ImageError):
    summary = "no ink"


class NotACharacterError(ImageError):
    summary = "not a character"


class UnregisteredError(ImageError):
    """A scan on which no page of the form is found.

    Attributes:
        fit: how near it came: the share of the boxes' lines that were seen, 0 to 1.
    """

    summary = "unregistered"

    def __init__(self, problem: str, *, remedy: str = "", fit: float = 0.0) -> None:
        super().__init__(problem, remedy=remedy)
        self.fit = fit

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.problem,), {**vars(self)}


class ModelError(KalamosError):
    """A model that cannot be found or must not be used."""


class ModelNotFoundError(ModelError):
    pass


class ModelFileError(ModelError):
    pass


class UnsupportedModelError(ModelFileError):
    """A graph that is never run: an operator that is not allowed, or more work or memory than is."""


class ModelAnswerError(ModelFileError):
    """A model that opened, and then failed on images, or answered what is no answer."""


class SpecVersionError(ModelError):
    pass


class PreprocessingError(KalamosError):
    pass


class AlphabetError(KalamosError):
    pass


class UsageError(KalamosError):
    pass


class MissingExtraError(UsageError):
    """An optional part is not installed."""

    def __init__(self, problem: str, *, extra: str = "", remedy: str = "") -> None:
        super().__init__(problem, remedy=remedy or f"install it with: pip install 'kalamos[{extra}]'")


class OutputError(KalamosError):
    pass


class FormError(KalamosError):
    pass


class DatasetError(KalamosError):
    pass


class RecipeError(KalamosError):
    pass


class TrainingError(KalamosError):
    exit_code = 1


class ExportError(KalamosError):
    exit_code = 1


def first_line(error: BaseException) -> str:
    r"""Return the first line of an error's message, or the name of its class if it has none.

    >>> first_line(ValueError("too large\nsee the manual")), first_line(EOFError())
    ('too large', 'EOFError')
    """
    return (str(error).splitlines() or [type(error).__name__])[0]


def suggest(wrong: str, known: Iterable[str], *, otherwise: str = "choose from") -> str:
    """A remedy for a misspelt name: the nearest known one, or the whole list.

    >>> suggest("digit", ["digits", "latin"])
    "did you mean 'digits'?"
    >>> suggest("xyz", ["digits", "latin"])
    'choose from: digits, latin'
    """
    names = sorted(known)
    near = difflib.get_close_matches(wrong, names, n=1, cutoff=0.6)
    if near:
        return f"did you mean {near[0]!r}?"
    return f"{otherwise}: {', '.join(names)}" if names else ""


def require_extra(extra: str, packages: Iterable[str], *, what: str = "this") -> None:
    """Check that the packages of an optional part are installed, without importing them.

    Raises:
        MissingExtraError: some are not; it says how to install them.

    >>> require_extra("train", ["json", "no_such_package"])
    Traceback (most recent call last):
    kalamos.errors.MissingExtraError: this needs no_such_package, not installed here; install it with: pip \
install 'kalamos[train]'
    """
    missing = [name for name in packages if not find_spec(name)]
    if missing:
        raise MissingExtraError(f"{what} needs {', '.join(missing)}, not installed here", extra=extra)


def renamed(module: str, names: Mapping[str, str]) -> Callable[[str], Any]:
    """A module's `__getattr__` that gives old names, with a `DeprecationWarning`, for one version.

    Args:
        module: its `__name__`.
        names: old name -> new name.
    """

    def find(name: str) -> Any:
        if name not in names:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        import warnings

        warnings.warn(f"{module}.{name} is now called {names[name]}", DeprecationWarning, stacklevel=2)
        return getattr(sys.modules[module], names[name])

    return find
