"""Teach a model from a few examples, on a CPU and without PyTorch.

```
examples ─ variations ─ graph (embeddings) ─┐
                                            ├─ fitting ─ lesson ─ graph (new last layer) ─ .onnx
graph (old last layer) ─ memory (replay) ───┘
```
"""

from kalamos.teaching.examples import Examples, load_examples
from kalamos.teaching.lesson import Lesson, teach
from kalamos.teaching.score import Score

__all__ = ["Examples", "Lesson", "Score", "load_examples", "teach"]
