"""Train the recogniser of whole lines of digits: drawn pages, a convolutional network, CTC loss, its export.

`python -m kalamos.learn.lines recipes/digit-lines.toml -o digit_lines.onnx` makes the file that
`kalamos.pages.line_recognizer` opens.
"""
