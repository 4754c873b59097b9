"""Hubs: all channels of a namespace, whatever becomes of them."""

from __future__ import annotations

import gc
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
import weakref
from typing import Any

import numpy
import pytest
import tearless
from tearless import _values


def test_states_are_by_name(fleet: tearless.Namespace) -> None:
    hub = fleet.hub()
    assert hub.states() == {} and hub.states().errors == {}
    with fleet.writer("worker-1") as one, fleet.writer("worker-2") as two, fleet.writer("other") as other, \
            fleet.writer("worker-empty"), fleet.array_writer("worker-array", 3, "u1") as array, \
            fleet.bytes_writer("worker-bytes") as plain:
        one.publish({"n": 1})
        two.publish([2])
        other.publish(3)
        array.publish(numpy.array([1, 2, 3], "u1"))
        plain.publish(b"ab")
        states = hub.states("worker-*")
        assert list(states) == ["worker-1", "worker-2", "worker-array", "worker-bytes"]
        assert states["worker-1"].value == {"n": 1} and states["worker-2"].value == [2]
        assert states["worker-bytes"].value == b"ab"
        assert states["worker-1"].publication == 1
        # Those without a state are named, with the reason.
        assert list(states.errors) == ["worker-empty"]
        assert isinstance(states.errors["worker-empty"], tearless.EmptyError)
        assert hub.channels("worker-?") == ["worker-1", "worker-2"]
        assert hub.get("other").value == 3
        with pytest.raises(tearless.EmptyError):
            hub.get("worker-empty")
        with pytest.raises(tearless.NotFoundError, match="nobody"):
            hub.get("nobody")
        status = hub.status("worker-1")
        assert (status.health, status.publication, status.incarnation) == ("fresh", 1, 1)
        assert status.writer_pid == os.getpid()
        assert hub.status("worker-empty").health == "empty"


def test_what_cannot_be_decoded_is_an_error_of_one_channel(fleet: tearless.Namespace) -> None:
    with fleet.writer("good") as good, fleet.bytes_writer("bad", type_name="u64", plain=True) as bad:
        good.publish(1)
        bad.publish(bytes(8))
        states = fleet.hub().states()
        assert list(states) == ["good"]
        assert isinstance(states.errors["bad"], tearless.TypeMismatchError)


def test_channels_are_replaced(fleet: tearless.Namespace) -> None:
    hub = fleet.hub()
    with fleet.writer("w") as writer:
        writer.publish(1)
        assert hub.get("w").value == 1
    with pytest.raises(tearless.NotFoundError):
        hub.get("w")
    # By another type.
    with fleet.bytes_writer("w") as writer:
        writer.publish(b"two")
        assert hub.get("w").value == b"two"
        assert hub.states()["w"].value == b"two"
    with fleet.array_writer("w", 3, "u1"):
        with pytest.raises(tearless.EmptyError):
            hub.get("w")
    with fleet.writer("w") as writer:
        writer.publish({"four": 4})
        assert hub.get("w").value == {"four": 4}
        assert hub.cut(["w"]).states["w"].value == {"four": 4}
    # By a process that takes over from a dead one, with another type.
    for type_name in ("python", "other"):
        program = ("import sys, os, tearless\n"
                   "writer = tearless.Namespace(sys.argv[1]).writer('w', type_name=sys.argv[2])\n"
                   "writer.publish(sys.argv[2]); os.kill(os.getpid(), 9)")
        died = subprocess.run([sys.executable, "-c", program, fleet.name, type_name], check=False)
        assert died.returncode == -signal.SIGKILL
        assert hub.get("w").value == type_name and hub.status("w").health == "dead"
    with fleet.writer("w") as writer:
        writer.publish("here")
        assert hub.get("w").value == "here" and hub.status("w").health == "fresh"


def test_many_channels_that_come_and_go(fleet: tearless.Namespace) -> None:
    hub = fleet.hub()
    for round in range(5):
        writers = [fleet.writer(f"w-{round}-{number}") for number in range(60)]
        for number, writer in enumerate(writers):
            writer.publish(number)
        states = hub.states()
        assert len(states) == 60 and states.errors == {}
        for writer in writers:
            writer.close()
    # Readers of ended channels keep their memory: it is given back.
    with open("/proc/self/maps") as maps:
        mapped = sum(fleet._object_prefix() in line for line in maps)
    assert mapped < 200


def test_a_cut_is_of_one_moment(fleet: tearless.Namespace) -> None:
    hub = fleet.hub()
    with fleet.writer("a") as first, fleet.writer("b") as second, fleet.writer("empty"):
        for number in range(3):
            first.publish(number)
            second.publish(number)
        cut = hub.cut(["a", "b"])
        assert cut.is_consistent and cut.skews == {}
        assert {channel: state.value for channel, state in cut.states.items()} == {"a": 2, "b": 2}
        assert "consistent" in repr(cut)
        cut = hub.cut(("a", "empty", "nobody"))
        assert list(cut.states) == ["a"]
        assert isinstance(cut.states.errors["empty"], tearless.EmptyError)
        assert isinstance(cut.states.errors["nobody"], tearless.NotFoundError)
        assert list(hub.cut("a").states) == ["a"]
        assert hub.cut([]).states == {}


def test_waiting_for_any(fleet: tearless.Namespace) -> None:
    hub = fleet.hub()
    with fleet.writer("w-1") as one, fleet.writer("w-2") as two, fleet.writer("other") as other:
        watch = hub.watch("w-*")
        watch.wait_any(0)
        assert watch.wait_any(0) == []
        other.publish(1)
        assert watch.wait_any(0.01) == []
        two.publish(1)
        assert watch.wait_any(30) == ["w-2"]
        threading.Timer(0.05, one.publish, (1,)).start()
        assert watch.wait_any(30) == ["w-1"]
        with fleet.writer("w-3") as three:
            three.publish(1)
            assert "w-3" in watch.wait_any(30)
        assert "w-3" in watch.wait_any(30)
        with pytest.raises(tearless.ArgumentError):
            watch.wait_any(-1)


def test_a_hub_is_pickled_with_its_options(fleet: tearless.Namespace) -> None:
    with fleet.writer("w") as writer:
        writer.publish(1)
        hub = pickle.loads(pickle.dumps(fleet.hub(fresh_within=1e-9)))
        assert isinstance(hub, tearless.Hub) and hub.get("w").value == 1
        assert hub.status("w").health == "unchanged"
        with pytest.raises(tearless.ArgumentError):
            fleet.hub(fresh_within=-1)


def test_a_table_for_notebooks_is_escaped(fleet: tearless.Namespace) -> None:
    with fleet.writer("<b>&w") as writer, fleet.writer("empty"), fleet.writer("long") as long:
        writer.publish({"<script>": "alert('&')"})
        long.publish("x" * 10_000)
        shown = fleet.hub()._repr_html_()
    assert "<script>" not in shown and "&lt;script&gt;" in shown
    assert "<b>" not in shown and "&lt;b&gt;&amp;w" in shown
    assert shown.count("<tr>") == 4 and len(shown) < 3000
    assert "fresh" in shown and "empty" in shown


def test_a_hub_of_eight_threads(fleet: tearless.Namespace) -> None:
    hub = fleet.hub()
    stop = threading.Event()
    failures: list[BaseException] = []

    def read() -> None:
        try:
            while not stop.is_set():
                for state in hub.states("w-*").values():
                    assert state.value["a"] == state.value["b"]
                try:
                    hub.get("comes-and-goes")
                except (tearless.NotFoundError, tearless.EmptyError, tearless.ClosedError):
                    pass
                hub.cut(["w-0", "w-1"])
                hub.watch().wait_any(0.001)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=read) for _ in range(8)]
    writers = [fleet.writer(f"w-{number}") for number in range(4)]
    for writer in writers:
        writer.publish({"a": 0, "b": 0})
    for thread in threads:
        thread.start()
    for number in range(300):
        for writer in writers:
            writer.publish({"a": number, "b": number})
        if number % 10 == 0:
            with fleet.writer("comes-and-goes", type_name=f"type {number}") as writer:
                writer.publish(number)
    stop.set()
    for thread in threads:
        thread.join()
    for writer in writers:
        writer.close()
    assert failures == []


@pytest.mark.parametrize("of", ["cut", "states", "changes"])
def test_what_interrupts_unpacking_is_raised(fleet: tearless.Namespace, monkeypatch: pytest.MonkeyPatch, of: str) -> None:
    """As Ctrl-C does; it is no error of a channel."""

    class Interrupting:
        def __eq__(self, other: object) -> bool:
            raise KeyboardInterrupt("mine")

    with fleet.writer("w") as writer:
        writer.publish([1, 2**100])
        monkeypatch.setattr(_values, "_SIGNED", Interrupting())
        hub = fleet.hub()
        calls = {"cut": lambda: hub.cut(["w"]), "states": hub.states, "changes": hub._stream("w").next}
        with pytest.raises(KeyboardInterrupt, match="mine"):
            calls[of]()


def test_a_wait_keeps_no_other_one_longer_than_it_asks(fleet: tearless.Namespace) -> None:
    with fleet.writer("w") as writer:
        writer.publish(0)
        watch, found = fleet.hub().watch(), []
        watch.wait_any(0)
        waiting = threading.Thread(target=lambda: found.append(watch.wait_any(60)))
        waiting.start()
        taken: list[float] = []
        for _ in range(20):
            # The other one waits for a tenth of a second at a time, in the middle of which this one comes.
            time.sleep(0.03)
            begin = time.monotonic()
            assert watch.wait_any(0) == []
            taken.append(time.monotonic() - begin)
        assert min(taken) < 0.03
        assert watch.wait_any(0.3) == []
        writer.publish(1)
        waiting.join(60)
        assert found == [["w"]]


def test_cycles_are_collected(fleet: tearless.Namespace) -> None:
    class Mark:
        """Can be referred to weakly."""

    with fleet.writer("w") as writer:
        writer.publish({"n": 1})

        def made() -> list[weakref.ref[Mark]]:
            snapshot = fleet.reader("w").snapshot()
            of: list[Any] = [tearless.Namespace(fleet.name) for _ in range(5)]
            of[0].kept = of[0].reader("w")
            of[1].kept = of[1].hub()
            of[1].kept.get("w")
            of[2].kept = of[2].hub().watch()
            of[3].kept = of[3].hub().changes()
            of[4].kept = of[4].reader("w").changes()
            marks = [Mark() for _ in range(6)]
            for namespace, mark in zip(of, marks, strict=False):
                namespace.mark = mark
            snapshot.value.update(itself=snapshot, mark=marks[5])
            return [weakref.ref(mark) for mark in marks]

        marks = made()
        gc.collect()
        assert [mark() for mark in marks] == [None] * 6
