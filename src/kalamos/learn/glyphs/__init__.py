"""Train `glyphs`, the base model for every script: from a character's ink to an embedding.

`pool` draws the characters of fonts and collects those of hands, `train` learns by a cosine softmax over all
characters and writes the ONNX file, `recipe` says how; the layers are in `kalamos.learn.models.embedding`.
Run it with `python -m kalamos.learn.glyphs recipes/glyphs.toml`.
"""
