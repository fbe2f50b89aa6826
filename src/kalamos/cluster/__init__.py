"""`kalamos predict --engine ray`: the same rows as on one machine, read by the workers of a Ray cluster.

```
streams (items → blocks) ──────────────┐
worker (opens a model; block → rows) ──┼─ dataset: Ray Data reads, maps, in order ─ job: outcomes
parts (rows → Parquet part files) ─────┘  session: a cluster to run on
```

A *block* is the unit of work, and of what is done again when a worker dies: some thousand images, or some
megabytes of them, cut where the local engine cuts its chunks. A stream gives the same blocks whenever it is
read, and a block gives the same rows whoever reads it; so what is lost can be made again, and nothing twice.

Only `session` and `dataset` know Ray; `places` handles URIs.
"""
