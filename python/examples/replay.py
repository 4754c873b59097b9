"""A replay buffer for reinforcement learning: actors fill it, a learner samples it, nothing is copied.

    python replay.py --seconds 10 --actors 3

The buffer is memory that all processes share (`alloc`): it reaches an actor as its name. Each actor
balances a pole on a cart, in a part of the buffer of its own, and publishes on a channel how many
rows are complete: what was written before a publication is seen by those who read it. The learner
fits a model of the cart to random rows, and publishes its weights, by which the actors then act.
"""

import argparse
import multiprocessing
import os
import signal
import sys
import time
from typing import Any

import numpy
import tearless
from numpy.typing import NDArray

TRANSITION = numpy.dtype([("state", "f4", 4), ("push", "f4"), ("next", "f4", 4), ("is_over", "?")])


def step(state: NDArray[Any], push: float) -> NDArray[Any]:
    """The cart and its pole, 20 ms later: Barto, Sutton and Anderson, 1983."""
    x, speed, angle, turn = state
    cos, sin = numpy.cos(angle), numpy.sin(angle)
    force = (10.0 * push + 0.05 * turn**2 * sin) / 1.1
    turning = (9.8 * sin - cos * force) / (0.5 * (4 / 3 - 0.1 * cos**2 / 1.1))
    moving = force - 0.05 * turning * cos / 1.1
    return numpy.array([x + 0.02 * speed, speed + 0.02 * moving, angle + 0.02 * turn, turn + 0.02 * turning], "f4")


def act(fleet: tearless.Namespace, number: int, rows: NDArray[Any]) -> None:
    """An actor: fills its rows, none of them twice, so that the learner sees no row change."""
    signal.signal(signal.SIGTERM, lambda _signal, _frame: sys.exit())
    random, main = numpy.random.default_rng(number), os.getppid()
    learner, weights = fleet.array_reader("weights", timeout=30), numpy.zeros((5, 4), "f4")
    done, episodes, length, mean = 0, 0, 0, 0.0
    state = random.uniform(-0.05, 0.05, 4).astype("f4")
    with fleet.writer(f"actor-{number}") as report:
        while os.getppid() == main and done < len(rows):
            if learner.has_changed():
                learner.snapshot(out=weights)
            # The push that the model says is better, and now and then another one.
            push = random.choice((-1.0, 1.0))
            if random.random() > 0.2:
                expected = state + numpy.outer((-1.0, 1.0), weights[4]) + state @ weights[:4]
                push = (-1.0, 1.0)[numpy.abs(expected[:, 2] + 0.5 * expected[:, 3]).argmin()]
            after = step(state, push)
            is_over = bool(abs(after[0]) > 2.4 or abs(after[2]) > 0.21)
            rows[done] = (state, push, after, is_over)
            done, length, state = done + 1, length + 1, after
            if is_over or length == 500:
                episodes, mean = episodes + 1, mean + (length - mean) / min(episodes + 1, 20)
                length, state = 0, random.uniform(-0.05, 0.05, 4).astype("f4")
            if done % 32 == 0:
                report.publish({"rows": done, "episodes": episodes, "steps_balanced": mean})
        while os.getppid() == main:
            time.sleep(0.1)


def learn(replay: NDArray[Any], filled: list[int], weights: NDArray[Any], random: numpy.random.Generator) -> float:
    """A step towards the model that explains 256 random rows; returns the error of the old one."""
    part = len(replay) // len(filled)
    actor = random.integers(len(filled), size=256)
    batch = replay[actor * part + (random.random(256) * numpy.array(filled)[actor]).astype(int)]
    known = numpy.column_stack((batch["state"], batch["push"]))
    error = known @ weights - (batch["next"] - batch["state"])
    weights -= 0.05 * known.T @ error / len(batch)
    return float(numpy.abs(error).mean())


def main() -> None:
    """Starts the actors, and learns from what they do."""
    parser = argparse.ArgumentParser(description="A replay buffer in shared memory.")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--actors", type=int, default=2)
    parser.add_argument("--rows", type=int, default=1_000_000, help="of each actor")
    parser.add_argument("--namespace", default="replay-py")
    options = parser.parse_args()

    fleet, random = tearless.Namespace(options.namespace), numpy.random.default_rng(0)
    numbers = range(options.actors)
    replay = fleet.alloc("replay", options.actors * options.rows, TRANSITION)
    learner = fleet.array_writer("weights", (5, 4), "f4")
    weights = numpy.zeros((5, 4), "f4")
    learner.publish(weights)
    parts = [replay[at * options.rows:(at + 1) * options.rows] for at in numbers]
    spawn = multiprocessing.get_context("spawn")
    actors = [spawn.Process(target=act, args=(fleet, at, parts[at])) for at in numbers]
    for actor in actors:
        actor.start()
    try:
        reports = [fleet.reader(f"actor-{at}", timeout=30) for at in numbers]
        for report in reports:
            report.changed(timeout=30)
        end, batches, errors = time.monotonic() + options.seconds, 0, list[float]()
        while time.monotonic() < end:
            filled = [report.snapshot().value["rows"] for report in reports]
            errors.append(learn(replay, filled, weights, random))
            batches += 1
            if batches % 16 == 0:
                learner.publish(weights)
        print(f"{replay.nbytes:,} bytes are shared; {batches / options.seconds:,.0f} batches of 256 rows a second")
        print(f"error of the model: {errors[0]:.4f} at first, {numpy.mean(errors[-100:]):.4f} now")
        for report in reports:
            print(report.channel, report.snapshot().value)
    finally:
        for actor in actors:
            actor.terminate()
            actor.join()
        learner.close()
        replay.close()


if __name__ == "__main__":
    main()
