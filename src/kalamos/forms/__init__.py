"""Forms with a box for each character: templates, printed sheets, and scans read into a table."""
