"""States that a thread publishes in the background."""

from __future__ import annotations

import dataclasses
import gc
import os
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
import tearless


def until(holds: Callable[[], object], seconds: float = 30) -> None:
    """Waits for what another thread does."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.002)


def test_changes_are_published(fleet: tearless.Namespace) -> None:
    with fleet.syncer("w", {"n": 0}, interval=0.005) as syncer:
        reader = fleet.reader("w")
        until(lambda: reader.publication)
        assert reader.snapshot().value == {"n": 0}
        syncer.update(lambda state: {"n": state["n"] + 1})
        assert syncer.state == {"n": 1}
        until(lambda: reader.snapshot().value == {"n": 1})

        def in_place(state: dict[str, int]) -> None:
            state["n"] = 7

        syncer.update(in_place)
        until(lambda: reader.snapshot().value == {"n": 7})
        syncer.state = [1, 2]
        until(lambda: reader.snapshot().value == [1, 2])
        # What is changed in place is seen by the next flush, or after the state was asked for.
        syncer.state.append(3)
        assert syncer.flush() == syncer.flush()
        assert reader.snapshot().value == [1, 2, 3]
        syncer.state = "last"
        assert syncer.channel == "w" and '"w"' in repr(syncer)
    with pytest.raises(tearless.ClosedError):
        reader.snapshot()


def test_the_last_state_lingers(fleet: tearless.Namespace) -> None:
    syncer = fleet.syncer("w", 0, interval=60, linger=True)
    syncer.state = "last"
    syncer.close()
    syncer.close()
    assert fleet.reader("w").snapshot().value == "last"
    with pytest.raises(tearless.ClosedError):
        syncer.flush()
    assert syncer.state == "last"
    assert fleet.remove("w")


def test_it_resumes_with_the_last_state(fleet: tearless.Namespace) -> None:
    first = fleet.syncer("w", {"jobs": 3}, interval=60, linger=True)
    first.close()
    with fleet.syncer("w", {"jobs": 0}, interval=60, resume=True) as second:
        assert second.state == {"jobs": 3}
        second.update(lambda state: {"jobs": state["jobs"] + 1})
        second.flush()
        assert fleet.reader("w").snapshot().value == {"jobs": 4}
    with fleet.syncer("new", {"jobs": 0}, interval=60, resume=True) as new:
        assert new.state == {"jobs": 0}


def test_errors_of_changes_are_those_of_the_caller(fleet: tearless.Namespace) -> None:
    with fleet.syncer("w", {"n": 1}, interval=0.005) as syncer:
        def fail(state: dict[str, int]) -> None:
            state["n"] = 2
            raise KeyError("mine")

        with pytest.raises(KeyError, match="mine"):
            syncer.update(fail)
        # What was changed before is changed.
        syncer.flush()
        assert fleet.reader("w").snapshot().value == {"n": 2}
        for inside in (lambda: syncer.state, syncer.flush, syncer.close, lambda: syncer.update(lambda state: None)):
            with pytest.raises(tearless.Error, match="by this thread"):
                syncer.update(lambda state, inside=inside: inside())
        with pytest.raises(tearless.Error, match="by this thread"):
            syncer.update(lambda state: setattr(syncer, "state", 1))
        with pytest.raises(TypeError):
            syncer.update(3)  # type: ignore[arg-type]
        assert syncer.last_error is None


def test_errors_of_packing_are_kept(fleet: tearless.Namespace) -> None:
    with pytest.raises(tearless.EncodeError, match="set"):
        fleet.syncer("never", {1, 2})
    with fleet.syncer("w", {"n": 1}, interval=0.005) as syncer:
        reader = fleet.reader("w")
        syncer.state = {"n": {1, 2}}
        until(lambda: syncer.last_error)
        assert "value['n'] is a set" in str(syncer.last_error)
        with pytest.raises(tearless.EncodeError, match="set"):
            syncer.flush()
        assert reader.snapshot().value == {"n": 1}
        syncer.state = {"n": 2}
        until(lambda: reader.snapshot().value == {"n": 2})


def test_a_tick_that_fails_is_logged_once(fleet: tearless.Namespace, caplog: pytest.LogCaptureFixture) -> None:
    with fleet.syncer("w", {"n": 1}, interval=0.005, max_state_len=100) as syncer:
        for state, says in (({"n": {1, 2}}, "value['n'] is a set"), ("x" * 200, "100")):
            caplog.clear()
            syncer.state = state

            def is_logged() -> bool:
                # A change by a call that has nothing to raise. It looks once a second.
                syncer.update(lambda state: None)
                return bool(caplog.records)

            until(is_logged)
            assert says in caplog.text and "'w'" in caplog.text and caplog.records[0].name == "tearless"
            time.sleep(1.1)
            syncer.update(lambda state: None)
            assert len(caplog.records) == 1
        syncer.state = {"n": 2}


def test_an_interval_is_checked(fleet: tearless.Namespace) -> None:
    for interval in (-1, float("nan")):
        with pytest.raises(tearless.ArgumentError):
            fleet.syncer("w", 0, interval=interval)
    with pytest.raises(tearless.ArgumentError):
        fleet.syncer("w", 0, interval=0)


@dataclasses.dataclass
class Slow:
    """Its packing runs Python code, which lets other threads run in the middle of it."""

    n: int

    @property
    def part(self) -> int:
        return self.n


def test_threads_do_not_wait_for_each_other_for_ever(fleet: tearless.Namespace) -> None:
    """The syncer's thread takes the state's lock, then the interpreter's; no other may hold the
    second while it waits for the first."""
    with fleet.syncer("w", [Slow(0)] * 50, interval=0.001) as syncer, fleet.syncer("dict", {}, interval=0.001) as other:
        stop = threading.Event()
        failures: list[BaseException] = []
        unlocked = other.state

        def repeat(work: Callable[[int], object]) -> None:
            number = 0
            try:
                while not stop.is_set():
                    number += 1
                    work(number)
            except BaseException as error:
                failures.append(error)

        def mutate(number: int) -> None:
            # While the thread packs it: an error of one tick at most.
            unlocked[number % 100] = number
            unlocked.pop(number * 7 % 100, None)

        work: list[Callable[[int], Any]] = [
            lambda number: syncer.update(lambda state: [Slow(part.n + 1) for part in state]),
            lambda number: syncer.flush(), lambda number: syncer.state, lambda number: syncer.last_error,
            lambda number: setattr(syncer, "state", [Slow(number)] * 50),
            mutate, lambda number: fleet.reader("w").snapshot(), lambda number: gc.collect(0),
        ]
        threads = [threading.Thread(target=repeat, args=(one,)) for one in work]
        for thread in threads:
            thread.start()
        time.sleep(2)
        stop.set()
        for thread in threads:
            thread.join(60)
            assert not thread.is_alive()
        assert failures == []
        assert len(fleet.reader("w").snapshot().value) == 50


def test_dropped_syncers_end(fleet: tearless.Namespace) -> None:
    """By the garbage collector, which holds the interpreter, while the thread waits for it."""
    for number in range(50):
        syncer = fleet.syncer("w", [Slow(number)] * 20, interval=0.001)
        syncer.state = [Slow(number + 1)] * 20
        if number % 2:
            cycle: list[Any] = [syncer]
            cycle.append(cycle)
            del cycle
        del syncer
        gc.collect()
    assert fleet.channels() == []


def test_a_syncer_gives_heartbeats(fleet: tearless.Namespace) -> None:
    with fleet.syncer("w", 1, interval=0.01):
        hub = fleet.hub(fresh_within=0.05)
        time.sleep(0.1)
        # Without heartbeats it is stalled from now on; on a busy machine only for a moment.
        until(lambda: hub.status("w").health in ("fresh", "unchanged"))
        status = hub.status("w")
        assert status.writer_pid == os.getpid() and status.publication == 1


@dataclasses.dataclass
class Awkward:
    """Its packing calls a function, as a handler of a signal is called in the middle of it."""

    call: Callable[[], object]

    def __getattribute__(self, name: str) -> Any:
        value = object.__getattribute__(self, name)
        return value() if name == "call" else value


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt, SystemExit])
def test_what_interrupts_packing_is_raised(fleet: tearless.Namespace, interrupt: type[BaseException]) -> None:
    def fail() -> None:
        raise interrupt("mine")

    with pytest.raises(interrupt, match="mine"):
        fleet.syncer("w", Awkward(fail))
    assert fleet.channels() == []
    syncer = fleet.syncer("w", {"n": 1}, interval=60)
    syncer.state = Awkward(fail)
    with pytest.raises(interrupt, match="mine"):
        syncer.flush()
    # It was not published, and nothing is broken.
    syncer.state = {"n": 2}
    assert syncer.flush() == 2 and fleet.reader("w").snapshot().value == {"n": 2}
    syncer.state = Awkward(fail)
    with pytest.raises(interrupt, match="mine"):
        syncer.close()
    assert fleet.channels() == []


def test_calls_while_the_state_is_packed_are_errors(fleet: tearless.Namespace) -> None:
    syncer = fleet.syncer("w", {"n": 1}, interval=60)
    calls: list[Callable[[], object]] = [
        syncer.close, syncer.flush, lambda: syncer.state, lambda: syncer.last_error,
        lambda: setattr(syncer, "state", 1), lambda: syncer.update(lambda state: None),
    ]
    refused = 0

    def call() -> int:
        nonlocal refused
        for one in calls:
            with pytest.raises(tearless.Error, match="packed by this thread"):
                one()
            refused += 1
        return 7

    syncer.state = Awkward(call)
    assert syncer.flush() == 2 and refused == len(calls)
    syncer.close()
    assert fleet.channels() == []


def test_a_handler_of_a_signal_may_close_the_syncer(fleet: tearless.Namespace) -> None:
    """In the middle of `flush` it is refused."""
    handled: list[type] = []

    def handle(*_: object) -> None:
        try:
            syncer.close()
        except tearless.Error as error:
            handled.append(type(error))

    syncer = fleet.syncer("w", {"n": 1}, interval=60)
    before = signal.signal(signal.SIGUSR1, handle)
    try:
        syncer.state = Awkward(lambda: os.kill(os.getpid(), signal.SIGUSR1))
        syncer.flush()
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert handled == [tearless.Error]
    syncer.close()
