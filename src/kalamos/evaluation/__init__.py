"""Measure a model on a labelled dataset, with an interval on every figure. No PyTorch needed."""
