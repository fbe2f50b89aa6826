"""Which of several systems is better, by how much, at what cost, and whether that is more than luck.

```
architectures, recipes, finished runs ─ systems ─ preflight, bench ─ compare ┬─ verdicts (McNemar, Holm)
                                                                             ├─ timing (side by side)
                                                                             └─ table, record, plot
```
"""
