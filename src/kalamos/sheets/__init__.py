"""Sheets of boxes for an own alphabet: printed, filled by hand, and cut into a folder of images a class.

```
labels ─ plan ─ printing                        a PDF, and a code on it that says what is where
          └── finding ┐
            foreign ──┴ cutting ─ doubts ─ letters ─ contact      a scan, a folder
```
"""

from kalamos.sheets.contact import write_contact_sheets
from kalamos.sheets.cut import CutScan, SheetCutter
from kalamos.sheets.foreign import read_layout
from kalamos.sheets.labels import Caption, parse_chars, read_labels
from kalamos.sheets.letters import LetterFolder
from kalamos.sheets.plan import SheetPlan
from kalamos.sheets.printing import print_plan

__all__ = [
    "Caption",
    "CutScan",
    "LetterFolder",
    "SheetCutter",
    "SheetPlan",
    "parse_chars",
    "print_plan",
    "read_labels",
    "read_layout",
    "write_contact_sheets",
]
