"""`make fuzz`: files, models and requests made to break kalamos, and a judge of what it does with them.

```
images/ archives tables models runs requests      generators: (random numbers) -> Case
                     │
__main__ ── runner ──┤── watching ── child        a process that uses kalamos, watched from outside
                     │── server                   the same for `kalamos app`
                     └── verdicts ── report       what a case must not do; what it did, saved to be run again
```

A generator knows its format: checksums, lengths and offsets are right wherever a case does not mean them
to be wrong, since most faults lie behind them. Case number i of a family under a seed is always the same.
"""
