"""Train the ink finder: drawn scenes with true masks, a small network, and its export.

`python -m kalamos.learn.ink recipes/ink.toml --fonts FOLDER -o ink.onnx` makes the file that
`kalamos.preprocessing.ink` opens.
"""
