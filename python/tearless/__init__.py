"""The latest state of a process in shared memory, for other processes to read directly.

A worker publishes its state on a channel of a namespace. Any process of the host takes snapshots of
it, also when the worker is busy, stopped or dead: without a socket, a lock or a system call.

>>> fleet = tearless.Namespace("fleet")  # doctest: +SKIP
>>> worker = fleet.writer("worker-7")
>>> worker.publish({"jobs_done": 3, "queue": ["a job"]})
1
>>> snapshot = fleet.reader("worker-7").snapshot()
>>> snapshot.value["jobs_done"], snapshot.publication
(3, 1)
>>> worker.close()

Arrays are filled in place, and read as a copy or in place (`Namespace.array_writer`); memory that
all processes write to is made by `Namespace.alloc`. See docs/python.md.
"""

from . import _fork as _fork  # The first of all: it registers the hooks of forks.
from ._aio import Changes, Publisher
from ._arrays import ArrayReader, ArrayView, ArrayWriter, Frame, SharedArray
from ._errors import (
    AccessError,
    ArgumentError,
    ClosedError,
    DecodeError,
    EmptyError,
    EncodeError,
    Error,
    ForkedError,
    InUseError,
    LimitError,
    NotFoundError,
    TypeMismatchError,
)
from ._hub import Cut, Hub, States
from ._namespace import Namespace
from ._tearless import Origin, Reader, Snapshot, Status, Syncer, View, Watch, Writer

__all__ = [
    "AccessError", "ArgumentError", "ArrayReader", "ArrayView", "ArrayWriter", "Changes", "ClosedError", "Cut",
    "DecodeError", "EmptyError", "EncodeError", "Error", "ForkedError", "Frame", "Hub", "InUseError", "LimitError",
    "Namespace", "NotFoundError", "Origin", "Publisher", "Reader", "SharedArray", "Snapshot", "States", "Status",
    "Syncer", "TypeMismatchError", "View", "Watch", "Writer",
]
