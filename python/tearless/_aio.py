"""Changes for asyncio: the loop is woken through a descriptor."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

if TYPE_CHECKING:
    from ._tearless import Stream, Writer

_State = TypeVar("_State")


class Changes(Generic[_State]):
    """The latest state and every later one, for ``async for``.

    States that are overwritten while the loop is busy are skipped. Cancelling loses nothing. It
    ends when the channel ends.
    """

    def __init__(self, of: Any, *pattern: str) -> None:
        self._stream: Stream = of._stream(*pattern)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> _State:
        state: _State | None
        while True:
            is_ready, state = self._stream.next()
            if is_ready:
                # A channel that always has a next state must not keep other tasks waiting.
                await asyncio.sleep(0)
                if state is None:
                    raise StopAsyncIteration
                return state
            await self._readable()

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
    """Publishes what `state()` returns at an interval, on a loop of asyncio: ``async with``."""

    def __init__(self, writer: Writer, state: Callable[[], Any], interval: float) -> None:
        self._writer, self._state, self._interval = writer, state, interval
        self._task: asyncio.Task[None] | None = None

    async def _publish(self) -> None:
        while True:
            self._writer.publish_if_changed(self._state())
            await asyncio.sleep(self._interval)

    async def __aenter__(self) -> Self:
        self._writer.publish_if_changed(self._state())
        self._task = asyncio.create_task(self._publish())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None
        task, self._task = self._task, None
        task.cancel()
        try:
            await task
        except asyncio.CancelledError:
            pass
        finally:
            # The last state, then the end of the channel.
            try:
                self._writer.publish_if_changed(self._state())
            finally:
                self._writer.close()
