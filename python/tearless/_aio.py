"""Changes for asyncio: the loop is woken through a descriptor."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

if TYPE_CHECKING:
    from ._tearless import Stream, Writer

_State = TypeVar("_State")
_log = logging.getLogger("tearless")


class Changes(Generic[_State]):
    """The latest state and every later one, for ``async for``: made by `Reader.changes` and `Hub.changes`.

    States that are overwritten while the loop is busy are skipped. The loop is woken through a
    descriptor, and nothing polls. Cancelling loses nothing. Those of a reader end when the channel
    ends; those of a hub are pairs of a channel's name and a snapshot, or the error that is there in
    its place.

    >>> worker = fleet.writer("worker-7")
    >>> worker.publish({"jobs_done": 3})
    1
    >>> async def first():
    ...     async for snapshot in fleet.reader("worker-7").changes():
    ...         return snapshot.value
    >>> asyncio.run(first())
    {'jobs_done': 3}
    """

    def __init__(self, of: Any, *pattern: str) -> None:
        self._stream: Stream = of._stream(*pattern)
        self._is_waiting = False
        # Whether the last call found a state at once.
        self._was_ready = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> _State:
        if self._is_waiting:
            raise RuntimeError("another task waits for this iterator: call changes() for each task")
        self._is_waiting = True
        try:
            if self._was_ready:
                # A channel that always has a next state must not keep other tasks waiting.
                await asyncio.sleep(0)
            self._was_ready = True
            while True:
                # Nothing is awaited once a state is taken: a task that is cancelled loses none.
                state: _State | None
                is_ready, state = self._stream.next()
                if is_ready:
                    break
                self._was_ready = False
                await self._readable()
        finally:
            self._is_waiting = False
        if state is None:
            raise StopAsyncIteration
        return state

    async def _readable(self) -> None:
        loop = asyncio.get_running_loop()
        woken: asyncio.Future[None] = loop.create_future()

        def wake() -> None:
            if not woken.done():
                woken.set_result(None)

        descriptor = self._stream.fileno()
        loop.add_reader(descriptor, wake)
        try:
            await woken
        finally:
            loop.remove_reader(descriptor)


class Publisher:
    """Publishes what `state()` returns at an interval, on a loop of asyncio: ``async with``.

    >>> async def work():
    ...     done = []
    ...     async with fleet.publisher("worker-7", lambda: {"jobs_done": len(done)}, interval=0.01):
    ...         done.append("a job")
    ...         await asyncio.sleep(0.1)
    ...         return fleet.reader("worker-7").snapshot().value
    >>> asyncio.run(work())
    {'jobs_done': 1}

    An error at the beginning or the end of the block is raised there. One in between is kept in
    `last_error` and logged, and the next interval tries again.
    """

    def __init__(self, writer: Writer, state: Callable[[], Any], interval: float) -> None:
        self._writer, self._state, self._interval = writer, state, interval
        self._task: asyncio.Task[None] | None = None
        #: The error of the last interval that failed.
        self.last_error: Exception | None = None

    async def _publish(self) -> None:
        while True:
            await asyncio.sleep(self._interval)
            try:
                self._writer.publish_if_changed(self._state())
            except Exception as error:
                if repr(error) != repr(self.last_error):
                    _log.warning("the state of channel %r was not published: %s", self._writer.channel, error)
                self.last_error = error

    async def __aenter__(self) -> Self:
        try:
            self._writer.publish_if_changed(self._state())
        except BaseException:
            self._writer.close()
            raise
        self._task = asyncio.create_task(self._publish())
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        assert self._task is not None
        # It is in its pause, as this task runs: nothing has to be waited for.
        self._task.cancel()
        self._task = None
        # The last state, then the end of the channel.
        try:
            self._writer.publish_if_changed(self._state())
        except Exception as error:
            self.last_error = error
            # The error of the block is the more important one.
            if kind is None:
                raise
        finally:
            self._writer.close()
