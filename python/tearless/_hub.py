"""All channels of a namespace at once."""

from __future__ import annotations

import html
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from . import _tearless
from ._tearless import Snapshot

if TYPE_CHECKING:
    from ._namespace import Namespace


class States(dict[str, Snapshot]):
    """The latest states by the names of their channels.

    `errors` has the channels that have none, with the reason: nothing published yet
    (`EmptyError`), or bytes that can't be decoded.
    """

    errors: dict[str, Exception]

    def __init__(self, found: Iterable[tuple[str, Snapshot | Exception]] = ()) -> None:
        super().__init__()
        self.errors = {}
        for channel, state in found:
            if isinstance(state, Exception):
                self.errors[channel] = state
            else:
                self[channel] = state


class Cut:
    """The states of several channels as of one moment."""

    def __init__(self, is_consistent: bool, is_instant: bool,
                 found: list[tuple[str, Snapshot | Exception, str | None]]) -> None:
        #: Whether all states that there are belong to one moment; `skews` has those that may not.
        self.is_consistent = is_consistent
        #: Whether all of them were the latest ones at one moment. Else they are the latest ones
        #: before some moment in the past.
        self.is_instant = is_instant
        #: The states. Those that are missing are in its `errors`.
        self.states: States = States((channel, state) for channel, state, _ in found)
        #: Why a state may be of another moment than the others, by the name of its channel.
        self.skews: dict[str, str] = {channel: skew for channel, _, skew in found if skew is not None}

    def __repr__(self) -> str:
        how = "consistent" if self.is_consistent else f"not consistent, skews {self.skews}"
        missing = f", without {', '.join(self.states.errors)}" if self.states.errors else ""
        return f"<Cut of {len(self.states)} states, {how}{missing}>"


class Hub(_tearless.Hub):
    """Reads the channels of a namespace by their names, from any thread: made by `Namespace.hub`.

    It attaches to channels by itself, also again after a worker was restarted, and keeps readers of
    them. Workers don't notice. It is pickled as its namespace, and shows itself as a table in a
    notebook.

    >>> worker = fleet.writer("worker-7")
    >>> worker.publish({"jobs_done": 3})
    1
    >>> hub = fleet.hub()
    >>> hub.get("worker-7").value
    {'jobs_done': 3}
    >>> [(name, state.publication) for name, state in hub.states("worker-*").items()]
    [('worker-7', 1)]
    >>> hub.status("worker-7").health
    'fresh'
    """

    _arguments: tuple[Namespace, float | None, float | None]

    def __new__(cls, namespace: Namespace, *, fresh_within: float | None = None,
                stalled_after: float | None = None) -> Hub:
        hub = super().__new__(cls, namespace, fresh_within=fresh_within, stalled_after=stalled_after)
        hub._arguments = (namespace, fresh_within, stalled_after)
        return hub

    def states(self, pattern: str = "*") -> States:
        """The latest states of the channels that a pattern with `*` and `?` matches, by their names.

        Channels without a state are in `errors` of the result.
        """
        return States(self.all(pattern))

    def cut(self, channels: Iterable[str]) -> Cut:
        """The states of several channels as of one moment, as far as their timestamps tell."""
        if isinstance(channels, str):
            channels = [channels]
        return Cut(*self._cut(list(channels)))

    def __reduce__(self) -> Any:
        return _hub, self._arguments

    def _repr_html_(self) -> str:
        rows: list[str] = []
        for channel, state in self.all():
            try:
                health: str = self.status(channel).health
            except Exception as error:
                health = type(error).__name__
            if isinstance(state, Exception):
                cells = [channel, health, "", "", _short(str(state))]
            else:
                age = "" if state.age is None else f"{state.age:.3g} s"
                cells = [channel, health, str(state.publication), age, _short(repr(state.value))]
            rows.append("".join(f"<td>{html.escape(cell)}</td>" for cell in cells))
        head = "".join(f"<th>{name}</th>" for name in ("channel", "health", "publication", "age", "state"))
        body = "".join(f"<tr>{row}</tr>" for row in rows)
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _hub(namespace: Namespace, fresh_within: float | None, stalled_after: float | None) -> Hub:
    """A pickled hub."""
    return Hub(namespace, fresh_within=fresh_within, stalled_after=stalled_after)


def _short(text: str) -> str:
    return text if len(text) <= 100 else f"{text[:99]}…"
