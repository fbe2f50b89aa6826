"""Forms with a box for each character: templates, printed sheets, and scans read into a table."""

from kalamos.forms.filled import FieldReading, FilledForm, Scan
from kalamos.forms.form import FilledForms, Form
from kalamos.forms.template import Box, Field, FormPage, FormTemplate, Marker, row_of_boxes

__all__ = [
    "Box",
    "Field",
    "FieldReading",
    "FilledForm",
    "FilledForms",
    "Form",
    "FormPage",
    "FormTemplate",
    "Marker",
    "Scan",
    "row_of_boxes",
]
