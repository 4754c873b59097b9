"""The errors of the library, each with the text that says what happened and what to do."""


class Error(Exception):
    """Any error of the library.

    ``kind`` is the name of the library's own error, for example ``"Attach.NotFound"``.
    """

    kind: str = ""


class NotFoundError(Error, LookupError):
    """There is no such channel, block, publication or file."""


class EmptyError(Error, LookupError):
    """Nothing has been published on the channel yet."""


class InUseError(Error):
    """A living process writes the channel, or owns the block or the file."""


class ClosedError(Error):
    """The channel has ended, or the object was closed in this process."""


class ForkedError(Error):
    """The writer belongs to the process that this one was forked from."""


class TypeMismatchError(Error, TypeError):
    """The channel has states of another type, shape or schema."""


class EncodeError(Error, TypeError):
    """The value can't be published."""


class DecodeError(Error, ValueError):
    """The bytes of a state can't be decoded, or were changed by another process."""


class LimitError(Error):
    """A limit of the channel, the namespace or the system is reached."""


class AccessError(Error, PermissionError):
    """This user may not do that."""


class ArgumentError(Error, ValueError):
    """A name or an option that is not allowed."""
