"""Sheets of boxes for an own alphabet: printed, filled by hand, and cut into a folder of images a class."""

from kalamos.sheets.labels import Caption, parse_chars, read_labels
from kalamos.sheets.plan import SheetPlan
from kalamos.sheets.printing import print_plan

__all__ = ["Caption", "SheetPlan", "parse_chars", "print_plan", "read_labels"]
