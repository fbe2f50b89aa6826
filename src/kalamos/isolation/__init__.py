"""Work on untrusted bytes in a worker process, which may crash, hang or run out of memory by itself.

Decoders are large C libraries, and some files make them crash, run for minutes or ask for gigabytes. What a
header check cannot prove harmless is decoded by a worker: a Python process of its own with limits on memory,
processor time and wall-clock time. A worker that exceeds a limit or dies is replaced, and the caller gets a
typed error. Workers start when first needed (0.2 s), are reused, and end with this process.

How the limits are kept:

- **time**: a thread of this process kills a worker that is late, everywhere.
- **memory**: on Linux by `RLIMIT_AS`, so that an allocation fails inside the worker; on macOS and Windows,
  which enforce no such limit, the same thread looks at the worker's resident memory twenty times a second
  and kills it, so that a fast allocation may exceed the limit for a moment.
- **orphans**: a worker ends when its standard input ends or its parent is gone.

The child runs `python -c`, not `multiprocessing`: scripts need no `__main__` guard, notebooks and Ray work.

`calls` is the interface, `workers` starts, keeps and watches the processes, `serving` runs in them,
`messages` is their protocol, and `processes` reads a process's processor time and memory from the system.
"""

from __future__ import annotations

from kalamos.isolation.calls import (
    MEMORY_BYTES,
    SMALL_BYTES,
    SMALL_SECONDS,
    TIMEOUT_SECONDS,
    iterate_isolated,
    processor_seconds,
)

__all__ = [
    "MEMORY_BYTES",
    "SMALL_BYTES",
    "SMALL_SECONDS",
    "TIMEOUT_SECONDS",
    "iterate_isolated",
    "processor_seconds",
]
