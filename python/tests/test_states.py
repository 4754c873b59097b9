"""Values: published by one process, read by another."""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import pickle
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy
import pytest
import tearless


@dataclasses.dataclass
class Job:
    id: int
    where: str


class Phase(enum.Enum):
    RUNNING = "running"


def test_a_state_is_read_back_with_its_number_and_age(fleet: tearless.Namespace) -> None:
    with fleet.writer("worker-7") as writer:
        assert writer.publish({"jobs_done": 3, "queue": ["a"]}) == 1
        snapshot = fleet.reader("worker-7").snapshot()
        assert snapshot.value == {"jobs_done": 3, "queue": ["a"]}
        assert snapshot.publication == 1
        assert snapshot.age is not None and 0 <= snapshot.age < 60
        assert snapshot.published_at is not None
        assert abs(snapshot.published_at - datetime.datetime.now(datetime.timezone.utc)) < datetime.timedelta(minutes=1)


@pytest.mark.parametrize(
    ("value", "read"),
    [
        (None, None), (True, True), (-(2**63), -(2**63)), (2**64 - 1, 2**64 - 1), (1.5, 1.5), ("ü", "ü"), (b"\x00\xff", b"\x00\xff"),
        ([], []), ((1, 2), [1, 2]), ({}, {}), ({1: "a", "b": None}, {1: "a", "b": None}), ({(1, 2): [3]}, {(1, 2): [3]}),
        (Job(1, "here"), {"id": 1, "where": "here"}), ([Job(1, "a")], [{"id": 1, "where": "a"}]),
        (Phase.RUNNING, "running"), (numpy.float32(0.5), 0.5), (numpy.int64(-3), -3), (numpy.bool_(True), True),
        ({"at": datetime.datetime(2026, 1, 2, 3, 4, 5, 6000, datetime.timezone.utc)},) * 2,
        ([-(2**127), 2**128 - 1, {2**64: 0}],) * 2,
        ({(1, (2, 3)): [(4, 5)], 2**64: datetime.datetime(2026, 1, 2, tzinfo=datetime.timezone.utc)},
         {(1, (2, 3)): [[4, 5]], 2**64: datetime.datetime(2026, 1, 2, tzinfo=datetime.timezone.utc)}),
    ],
)
def test_values_arrive_as_they_were(fleet: tearless.Namespace, value: object, read: object) -> None:
    with fleet.writer("w") as writer:
        writer.publish(value)
        assert fleet.reader("w").snapshot().value == read


def test_models_are_published_by_their_fields(fleet: tearless.Namespace) -> None:
    pydantic = pytest.importorskip("pydantic")

    class State(pydantic.BaseModel):
        jobs_done: int
        queue: list[Job]

    with fleet.writer("w") as writer:
        writer.publish(State(jobs_done=3, queue=[Job(1, "a")]))
        assert fleet.reader("w").snapshot().value == {"jobs_done": 3, "queue": [{"id": 1, "where": "a"}]}


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ({"jobs": [1, {"names": {"a"}}]}, "value['jobs'][1]['names'] is a set, which can't be published: publish a list"),
        ([2**128], "value[0] is an integer of more than 128 bits"), ([-(2**127) - 1], "more than 128 bits"),
        ({"at": datetime.datetime(2026, 1, 1)}, "value['at'] is a datetime, which can't be published: give it a time zone"),
        ({"frame": numpy.zeros(3)}, "array_writer"),
        (Job(1, object()), "value.where is an object, which can't be published"),  # type: ignore[arg-type]
        ({frozenset((1, 2)): 3}, "a key of value is a frozenset"),
        (1j, "publish [value.real, value.imag]"),
    ],
)
def test_what_cannot_be_published_is_named(fleet: tearless.Namespace, value: object, says: str) -> None:
    with fleet.writer("w") as writer:
        writer.publish("before")
        with pytest.raises(tearless.EncodeError) as refused:
            writer.publish(value)
        assert says in str(refused.value)
        assert fleet.reader("w").snapshot().value == "before"


def test_a_value_that_contains_itself_is_refused(fleet: tearless.Namespace) -> None:
    value: list[object] = []
    value.append(value)
    with fleet.writer("w") as writer, pytest.raises(tearless.EncodeError, match="contains itself"):
        writer.publish(value)


def test_unchanged_states_are_not_published_again(fleet: tearless.Namespace) -> None:
    with fleet.writer("w") as writer:
        assert writer.publish_if_changed([1]) == 1
        assert writer.publish_if_changed([1]) is None
        assert writer.publish_if_changed([2]) == 2


def test_errors_have_classes_and_say_what_to_do(fleet: tearless.Namespace) -> None:
    with pytest.raises(tearless.NotFoundError, match="start its writer") as missing:
        fleet.reader("nobody")
    assert isinstance(missing.value, LookupError) and missing.value.kind == "Attach.NotFound"
    with fleet.writer("w") as writer:
        reader = fleet.reader("w")
        with pytest.raises(tearless.EmptyError):
            reader.snapshot()
        with pytest.raises(tearless.InUseError, match="one writer"):
            fleet.writer("w")
        with pytest.raises(TypeError, match='no option "depth"'):
            fleet.writer("other", depth=3)  # type: ignore[call-arg]
        writer.publish(1)
    with pytest.raises(tearless.ClosedError):
        writer.publish(2)
    with pytest.raises(tearless.ClosedError):
        reader.snapshot()
    with pytest.raises(tearless.ArgumentError):
        tearless.Namespace("")
    with pytest.raises(tearless.LimitError, match="at most|larger|limit|max"):
        fleet.writer("small", max_state_len=2000).publish(bytes(4000))


def test_history_and_numbers(fleet: tearless.Namespace) -> None:
    with fleet.writer("w", slots=8) as writer:
        for number in range(20):
            writer.publish(number)
        reader = fleet.reader("w")
        assert [state.value for state in reader.history()][:3] == [19, 18, 17]
        at = reader.snapshot_at(19)
        assert at is not None and at.value == 18
        assert reader.snapshot_at(1) is None
        assert reader.publication == writer.publication == 20


def test_a_reader_waits_while_other_threads_work(fleet: tearless.Namespace) -> None:
    with fleet.writer("w") as writer:
        writer.publish(0)
        reader = fleet.reader("w")
        reader.snapshot()
        assert not reader.changed(0.01)
        assert not reader.has_changed()
        later = threading.Timer(0.05, lambda: writer.publish(1))
        later.start()
        begin = time.monotonic()
        assert reader.changed(30)
        assert time.monotonic() - begin < 20
        assert reader.snapshot().value == 1
        later.join()


def test_readers_and_namespaces_are_pickled_as_names(fleet: tearless.Namespace) -> None:
    with fleet.writer("w") as writer:
        writer.publish([1, 2])
        again = pickle.loads(pickle.dumps(fleet.reader("w")))
        assert again.snapshot().value == [1, 2]
        assert pickle.loads(pickle.dumps(fleet)).name == fleet.name
        with pytest.raises(TypeError):
            pickle.dumps(writer)


def test_bytes_and_plain_data(fleet: tearless.Namespace) -> None:
    with fleet.bytes_writer("bytes") as writer:
        writer.publish(b"abc")
        assert fleet.reader("bytes").snapshot().value == b"abc"
        writer.publish(numpy.arange(3, dtype="u1"))
        assert fleet.reader("bytes").snapshot().value == b"\0\1\2"
    with fleet.bytes_writer("plain", type_name="u64", plain=True) as writer:
        writer.publish((7).to_bytes(8, "little"))
        assert fleet.reader("plain", raw=True).snapshot().value == (7).to_bytes(8, "little")
        with pytest.raises(tearless.TypeMismatchError, match="raw=True"):
            fleet.reader("plain").snapshot()


def test_reprs_help(fleet: tearless.Namespace) -> None:
    with fleet.writer("w") as writer:
        writer.publish("a state")
        reader = fleet.reader("w")
        assert repr(fleet) == f"<Namespace {fleet.name!r}>"
        assert "publication 1" in repr(writer)
        assert '"w"' in repr(reader)
        assert "a state" in repr(reader.snapshot())
    assert "closed" in repr(writer)


def test_large_values_let_other_threads_run(fleet: tearless.Namespace) -> None:
    payload = bytes(1 << 20)
    with fleet.bytes_writer("large", capacity=len(payload)) as writer:
        writer.publish(payload)
        reader = fleet.reader("large", raw=True)
        results: list[bool] = []
        threads = [threading.Thread(target=lambda: results.append(reader.snapshot().value == payload)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for _ in range(20):
            writer.publish(payload)
        for thread in threads:
            thread.join()
        assert results == [True] * 4


def test_threads_publish_dataclasses_on_one_writer(fleet: tearless.Namespace) -> None:
    @dataclasses.dataclass
    class State:
        first: int
        inner: list[object]
        last: int

    def state(number: int) -> State:
        return State(number, [Job(number, "x" * (number % 50)) for _ in range(20)], number)

    with fleet.writer("w", slots=64, capacity=4000) as writer:
        before = sys.getswitchinterval()
        sys.setswitchinterval(1e-6)
        try:
            threads = [
                threading.Thread(target=lambda first: [writer.publish(state(first + step)) for step in range(200)],
                                 args=(1000 * number,))
                for number in range(4)
            ]
            for thread in threads:
                thread.start()
            reader = fleet.reader("w")
            while any(thread.is_alive() for thread in threads):
                if writer.publication == 0:
                    continue
                value = reader.snapshot().value
                assert value["first"] == value["last"] == value["inner"][0]["id"]
        finally:
            sys.setswitchinterval(before)
            for thread in threads:
                thread.join()
        assert writer.publication == 800


def test_a_state_that_publishes_while_it_is_packed(fleet: tearless.Namespace) -> None:
    with fleet.writer("w") as writer:

        class Odd(enum.Enum):
            ONE = 1

            @property
            def value(self) -> int:
                writer.publish(["within"])
                return 7

        assert writer.publish({"odd": Odd.ONE}) == 2
        assert [state.value for state in fleet.reader("w").history()] == [{"odd": 7}, ["within"]]


def test_errors_name_what_there_is_in_python(fleet: tearless.Namespace) -> None:
    with fleet.writer("camera", max_state_len=100) as writer, fleet.alloc("block", 3) as block:
        wrong: list[Callable[[], object]] = [
            lambda: fleet.reader("camrea", timeout=0.05), lambda: fleet.array("nobody", timeout=0.05),
            lambda: writer.publish(b"x" * 1000), lambda: fleet.alloc("block", 3), lambda: fleet.writer("camera"),
            lambda: fleet.remove("camera"), lambda: fleet.reader("camera").snapshot(),
            lambda: fleet.writer("w", slots=0), lambda: fleet.writer("w", pins=10**6), lambda: fleet.writer("w", slots=-1),
            lambda: fleet.writer("w", capacity=10**9, max_state_len=10), lambda: fleet.writer("w", max_memory=-5),
        ]
        for call in wrong:
            with pytest.raises(tearless.Error) as raised:
                call()
            text = str(raised.value)
            assert not any(word in text for word in ("::", "Builder", "attach_within", "panic", "dropped")), text
        with pytest.raises(tearless.NotFoundError, match="even after 50.0ms"):
            fleet.reader("nobody", timeout=0.05)
        with pytest.raises(TypeError, match="open it there"):
            pickle.dumps(writer)
        del block


@pytest.mark.parametrize(("value", "advice"), [
    (decimal.Decimal("1.5"), r"str\(value\)"), (Path("a"), r"str\(value\)"), (range(3), r"list\(value\)"),
    (iter([1]), r"list\(value\)"), ({"a": 1}.values(), r"list\(value\)"), (numpy.datetime64("2026-01-01"), r"str\(value\)"),
    (SimpleNamespace(a=1), r"vars\(value\)"), ("a\udc80", "fsencode"), ({frozenset([1]): 2}, "keys are texts"),
    (ValueError("mine"), r"str\(value\)"), (lambda: 1, "is a function, which can't be published$"), (object(), "is an object"),
])
def test_what_can_not_be_published_is_told_how(fleet: tearless.Namespace, value: object, advice: str) -> None:
    with fleet.writer("w") as writer, pytest.raises(tearless.EncodeError, match=advice):
        writer.publish(value)
