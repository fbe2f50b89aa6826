"""Predictions in, documents out: text, ascii, CSV, JSON, JSONL or Parquet, and a summary.

Rows are written as they come, so memory does not grow with their number.
"""

from kalamos.writers.base import Writer
from kalamos.writers.csv_table import CsvStyle
from kalamos.writers.formats import FORMATS, check_ending, format_for, open_writer
from kalamos.writers.summary import Summary

__all__ = ["FORMATS", "CsvStyle", "Summary", "Writer", "check_ending", "format_for", "open_writer"]
