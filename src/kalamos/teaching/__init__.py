"""Fine-tune a model on a few examples, on a CPU and without PyTorch.

```
examples ─ variations ─ graph (embeddings) ─┐
                                            ├─ fitting ─ lesson ─ graph (new last layer) ─ .onnx
graph (old last layer) ─ memory (replay) ───┘
```
"""

from kalamos.errors import renamed
from kalamos.teaching.examples import Examples, load_examples
from kalamos.teaching.lesson import FineTuned, fine_tune
from kalamos.teaching.score import Score

__all__ = ["Examples", "FineTuned", "Score", "fine_tune", "load_examples"]

__getattr__ = renamed(__name__, {"Lesson": "FineTuned", "teach": "fine_tune"})
