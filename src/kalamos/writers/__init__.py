"""Predictions in, documents out: text, ascii, CSV, JSON, JSONL or Parquet, and a summary.

Rows are written as they come, so memory does not grow with their number.
"""

from kalamos.writers.base import Writer
from kalamos.writers.formats import FORMATS, format_for, open_writer
from kalamos.writers.summary import Summary

__all__ = ["FORMATS", "Summary", "Writer", "format_for", "open_writer"]
