"""Changes for loops of asyncio, and states that a loop publishes."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import threading
import time
from typing import Any

import pytest
import tearless


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def run(main: Any, seconds: float = 60) -> Any:
    async def limited() -> Any:
        return await asyncio.wait_for(main, seconds)

    return asyncio.run(limited())


def test_each_state_wakes_the_loop(fleet: tearless.Namespace) -> None:
    async def main() -> None:
        with fleet.writer("w") as writer:
            writer.publish(0)
            seen = []
            asyncio.get_running_loop().call_later(0.01, writer.publish, 1)
            async for state in fleet.reader("w").changes():
                seen.append(state.value)
                if len(seen) == 20:
                    break
                if seen[-1] > 0:
                    asyncio.get_running_loop().call_later(0.002, writer.publish, seen[-1] + 1)
            # The state that was there at the beginning, and each later one.
            assert seen == list(range(20))

    run(main())


def test_it_waits_without_polling(fleet: tearless.Namespace) -> None:
    async def main() -> None:
        with fleet.writer("w") as writer:
            writer.publish(0)
            changes, others = fleet.reader("w").changes(), fleet.hub().changes()
            assert (await anext(changes)).value == 0
            assert (await anext(others))[0] == "w"
            loop, rounds = asyncio.get_running_loop(), 0
            run_once = loop._run_once  # type: ignore[attr-defined]

            def counted() -> None:
                nonlocal rounds
                rounds += 1
                run_once()

            loop._run_once = counted  # type: ignore[attr-defined]
            waiting = [asyncio.ensure_future(anext(changes)), asyncio.ensure_future(anext(others))]
            await asyncio.sleep(0.5)
            assert rounds < 20
            writer.publish(1)
            assert (await waiting[0]).value == 1
            assert (await waiting[1])[1].value == 1

    run(main())


def test_a_hub_tells_the_channel(fleet: tearless.Namespace) -> None:
    async def main() -> None:
        changes = fleet.hub().changes("w-*")
        waiting = asyncio.ensure_future(anext(changes))
        await asyncio.sleep(0.01)
        with fleet.writer("w-1") as one, fleet.writer("other") as other, fleet.writer("w-2") as two:
            other.publish(0)
            one.publish(1)
            channel, state = await waiting
            while isinstance(state, tearless.EmptyError):
                channel, state = await anext(changes)
            assert (channel, state.value) == ("w-1", 1)
            two.publish(2)
            channel, state = await anext(changes)
            while isinstance(state, tearless.EmptyError):
                channel, state = await anext(changes)
            assert (channel, state.value) == ("w-2", 2)
        # The ends of channels are told, too, as errors.
        channel, state = await anext(changes)
        assert channel.startswith("w-") and isinstance(state, tearless.Error)

    run(main())


def test_the_end_of_the_channel_ends_the_iteration(fleet: tearless.Namespace) -> None:
    async def main() -> None:
        writer = fleet.writer("w")
        writer.publish(1)
        changes = fleet.reader("w").changes()
        assert (await anext(changes)).value == 1
        asyncio.get_running_loop().call_later(0.02, writer.close)
        seen = [state async for state in changes]
        assert seen == []
        with pytest.raises(StopAsyncIteration):
            await anext(changes)

    run(main())


@pytest.mark.parametrize("of", ["reader", "hub"])
def test_cancelling_loses_nothing(fleet: tearless.Namespace, of: str) -> None:
    """After any cancellation the last state still comes, if it has not come before."""

    async def main() -> None:
        with fleet.writer("w") as writer:
            writer.publish(0)
            changes: Any = fleet.reader("w").changes() if of == "reader" else fleet.hub().changes("w")
            value = lambda item: item.value if of == "reader" else item[1].value  # noqa: E731
            last = 0
            for number in range(1, 400):
                waiting = asyncio.ensure_future(anext(changes))
                for _ in range(number % 4):
                    await asyncio.sleep(0)
                writer.publish(number)
                for _ in range(number // 4 % 5):
                    await asyncio.sleep(0)
                waiting.cancel()
                try:
                    last = value(await waiting)
                except asyncio.CancelledError:
                    pass
                if last < number and number % 3 == 0:
                    last = value(await asyncio.wait_for(anext(changes), 20))
                    assert last == number
            assert not asyncio.get_running_loop()._selector.get_map().keys() - {  # type: ignore[attr-defined]
                asyncio.get_running_loop()._ssock.fileno()}  # type: ignore[attr-defined]

    run(main())


def test_a_timeout_loses_nothing(fleet: tearless.Namespace) -> None:
    async def main() -> None:
        with fleet.writer("w") as writer:
            writer.publish(0)
            changes = fleet.reader("w").changes()
            await anext(changes)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.01):
                    await anext(changes)
            writer.publish(1)
            async with asyncio.timeout(20):
                assert (await anext(changes)).value == 1

    run(main())


def test_no_descriptor_is_left(fleet: tearless.Namespace) -> None:
    async def main() -> None:
        with fleet.writer("w") as writer:
            writer.publish(0)
            reader, hub = fleet.reader("w"), fleet.hub()
            for number in range(100):
                if number == 5:
                    gc.collect()
                    before = descriptors()
                changes, others = reader.changes(), hub.changes()
                await anext(changes)
                await anext(others)
                waiting = [asyncio.ensure_future(anext(changes)), asyncio.ensure_future(anext(others))]
                await asyncio.sleep(0)
                for one in waiting:
                    one.cancel()
                await asyncio.gather(*waiting, return_exceptions=True)
                # Dropped without an end, in a loop that goes on.
                async for _ in reader.changes():
                    break
                del changes, others, waiting
            gc.collect()
            assert descriptors() <= before + 2

    run(main())


def test_two_iterators_on_one_loop(fleet: tearless.Namespace) -> None:
    async def main() -> None:
        with fleet.writer("w") as writer:
            writer.publish(0)
            reader = fleet.reader("w")

            async def follow(changes: Any) -> list[int]:
                seen: list[int] = []
                async for state in changes:
                    seen.append(state.value)
                    if state.value == 50:
                        break
                return seen

            tasks = [asyncio.create_task(follow(reader.changes())) for _ in range(3)]
            for number in range(1, 51):
                await asyncio.sleep(0.001)
                writer.publish(number)
            for seen in await asyncio.gather(*tasks):
                assert seen[-1] == 50 and seen == sorted(set(seen))

            # One iterator is for one task.
            shared = reader.changes()
            await anext(shared)
            first = asyncio.ensure_future(anext(shared))
            await asyncio.sleep(0)
            with pytest.raises(RuntimeError, match="another task"):
                await anext(shared)
            writer.publish(51)
            assert (await first).value == 51

    run(main())


def test_loops_in_other_threads(fleet: tearless.Namespace) -> None:
    results: list[int] = []
    with fleet.writer("w") as writer:
        writer.publish(0)
        reader = fleet.reader("w")

        def thread() -> None:
            async def main() -> None:
                async for state in reader.changes():
                    if state.value == "end":
                        results.append(1)
                        return

            run(main())

        threads = [threading.Thread(target=thread) for _ in range(4)]
        for one in threads:
            one.start()
        for number in range(100):
            writer.publish(number)
            time.sleep(0.0005)
        writer.publish("end")
        for one in threads:
            one.join()
    assert results == [1] * 4


@pytest.mark.parametrize("of", ["reader", "hub"])
def test_a_busy_writer_does_not_keep_other_tasks_waiting(fleet: tearless.Namespace, of: str) -> None:
    async def main() -> None:
        with fleet.writer("w") as writer:
            writer.publish(0)
            stop = threading.Event()

            def publish() -> None:
                number = 0
                while not stop.is_set():
                    number += 1
                    writer.publish(number)

            async def follow() -> None:
                changes: Any = fleet.reader("w").changes() if of == "reader" else fleet.hub().changes()
                async for _ in changes:
                    pass

            thread = threading.Thread(target=publish)
            thread.start()
            task = asyncio.create_task(follow())
            turns, end = 0, time.monotonic() + 0.5
            while time.monotonic() < end:
                await asyncio.sleep(0)
                turns += 1
            task.cancel()
            stop.set()
            thread.join()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert turns > 5

    run(main())


def test_a_loop_in_a_fork(fleet: tearless.Namespace) -> None:
    """The parent's loop, and the thread that wakes it, are not there: a loop of the child's own works."""

    async def follow(values: int) -> None:
        seen = 0
        async for _ in fleet.reader("w").changes():
            seen += 1
            if seen == values:
                return

    with fleet.writer("w") as writer:
        writer.publish(0)
        run(follow(1))
        stop = threading.Event()

        def publish() -> None:
            number = 0
            while not stop.wait(0.01):
                number += 1
                writer.publish(number)

        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                run(follow(4), 20)
                code = 0
            finally:
                os._exit(code)
        thread = threading.Thread(target=publish)
        thread.start()
        try:
            assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        finally:
            stop.set()
            thread.join()


def test_a_publisher_publishes_at_its_interval(fleet: tearless.Namespace) -> None:
    async def main() -> None:
        state = {"n": 0}
        async with fleet.publisher("w", lambda: state, interval=0.005):
            reader = fleet.reader("w")
            assert reader.snapshot().value == {"n": 0}
            changes = reader.changes()
            await anext(changes)
            state["n"] = 1
            assert (await anext(changes)).value == {"n": 1}
            await asyncio.sleep(0.02)
            # Unchanged states are not published again.
            assert reader.publication == 2
            state["n"] = 2
        with pytest.raises(tearless.ClosedError):
            reader.snapshot()

    run(main())


def test_a_publisher_whose_state_fails(fleet: tearless.Namespace, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        fails = False

        def state() -> int:
            if fails:
                raise ValueError("mine")
            return 1

        with caplog.at_level(logging.WARNING, "tearless"):
            async with fleet.publisher("w", state, interval=0.001) as publisher:
                fails = True
                while publisher.last_error is None:
                    await asyncio.sleep(0.001)
                await asyncio.sleep(0.02)
                assert str(publisher.last_error) == "mine"
                # It goes on.
                fails = False
                assert fleet.reader("w").snapshot().value == 1
        assert [record.message for record in caplog.records] == ["the state of channel 'w' was not published: mine"]
        assert fleet.channels() == []
        # At the end it is raised, unless the block has an error of its own.
        with pytest.raises(ValueError, match="mine"):
            async with fleet.publisher("w", state, interval=60):
                fails = True
        with pytest.raises(KeyError):
            fails = False
            async with fleet.publisher("w", state, interval=60):
                fails = True
                raise KeyError
        with pytest.raises(ValueError, match="mine"):
            async with fleet.publisher("w", state, interval=60):
                pass
        assert fleet.channels() == []

    run(main())


def test_a_publisher_that_is_cancelled(fleet: tearless.Namespace) -> None:
    async def main() -> None:
        entered = asyncio.Event()

        async def work() -> None:
            async with fleet.publisher("w", lambda: 1, interval=0.001):
                entered.set()
                await asyncio.sleep(600)

        task = asyncio.create_task(work())
        await entered.wait()
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert fleet.channels() == []
        assert len(asyncio.all_tasks()) <= 2

    run(main())
