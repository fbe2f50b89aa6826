"""From a run or a model file to files that others open; none is written that answers otherwise.

```
run ──────── sources ─┐                      ┌─ onnx_file, torchscript, pt2, pickles ─ parity ─┐
model file ─ rebuild ─┴─ network + ModelSpec ┴─ onnx_file ─ int8 (calibration) ─ accuracy ─────┴─ file
```
"""
