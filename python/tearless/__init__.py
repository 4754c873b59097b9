"""The latest state of a process in shared memory, for other processes to read directly."""

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
from ._namespace import Namespace
from ._tearless import Reader, Snapshot, View, Writer

__all__ = [
    "AccessError", "ArgumentError", "ArrayReader", "ArrayView", "ArrayWriter", "ClosedError", "DecodeError",
    "EmptyError", "EncodeError", "Error", "ForkedError", "Frame", "InUseError", "LimitError", "Namespace",
    "NotFoundError", "Reader", "SharedArray", "Snapshot", "TypeMismatchError", "View", "Writer",
]
