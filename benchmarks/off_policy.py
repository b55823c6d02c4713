"""Why do off-policy learners do well alone and badly together?

    python benchmarks/off_policy.py [--arms together alone ...] [--seeds 5] [--timesteps 32000] [--out runs/off-policy]

An explanation, and experiments that could refute it. The explanation: a critic takes a trend that all share, such as
both makers raising their quotes and both earning more, for the effect of its own actions. Each arm is one algorithm on
``acas`` with its defaults, and changes one thing:

- ``together``: everybody learns; what everybody plays is recorded at the end of every episode.
- ``alone``: one learns, the others play the equilibrium; one training for each agent.
- ``noisy``: the same, but the others explore around the equilibrium as learners do.
- ``tape``: one learns against the recording of ``together``, exploration included: the others have their trend, and
  nothing that the learner does moves them.
- ``still``: the same at the end of the recording, all the time: the others' place and exploration without their trend.
- ``quiet``: the same without exploration.
- ``turns``: everybody acts and explores, one agent at a time updates its networks, for four episodes, from a replay
  buffer that is emptied when its turn begins: nothing in it was written against others who were changing. Everybody
  has a third of the updates.
- ``young``, ``old``: as ``together`` with a replay buffer of 1 episode, and of 16; the default is 4.

The number is the sum of everybody's gains from best responses, in percent of the sizes of the equilibrium payoffs:
relative NashConv where all learn. Where one learns, the gain is its own, against what the others play at the end,
exploration aside.

Measured: not because common trends mislead them ([nine arms, five seeds](docs/results.md#a-common-trend))
"""

from __future__ import annotations

import argparse
import json
import os
import time
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from timing import machine

from makertaker.baselines import exploitability, solve
from makertaker.envs import Controls, State, read_scenario, rollout
from makertaker.envs.packing import agent_columns, agent_controls, join_controls, split_controls
from makertaker.training import IndependentLearners
from makertaker.training.common.hyperparameters import geometric
from makertaker.training.evaluation.spread import spread
from makertaker.training.sb3 import algorithms

SCENARIO = read_scenario("acas")
GAME, STEPS = SCENARIO.game, SCENARIO.steps
NASH = solve(GAME, STEPS)
SIZE = float(np.abs(NASH.payoffs).sum())
TURN = 4
"""episodes"""
REPLAY = {"young": 1, "old": 16}
ARMS = ("together", "alone", "noisy", "still", "quiet", "tape", "turns", *REPLAY)


class Played:
    """A policy of the time that changes from episode to episode, and explores.

    Args:
        agent: whose controls are played.
        schedules: everybody's controls by the number of the episode.
        deviation: of the exploration by the number of the episode, in control units; the last one of an evaluation.
        seed: of the exploration.
    """

    def __init__(
        self, agent: str, schedules: Callable[[int], Controls], deviation: Callable[[int], float], seed: int
    ) -> None:
        self.agent, self.schedules, self.deviation = agent, schedules, deviation
        self.episode, self.rng = -1, np.random.default_rng(seed)

    def __call__(self, k: int, state: State) -> np.ndarray:
        """Of step ``k``, (..., width)."""
        self.episode += k == 0
        now = np.asarray(agent_controls(GAME, self.schedules(self.episode), self.agent))[k]
        noise = self.rng.standard_normal((*np.shape(state.inventories)[:-1], len(now)))
        return np.asarray(now + self.deviation(self.episode) * GAME.control_unit(self.agent) * noise)


class Turns:
    """Lets one learner at a time update its networks."""

    def __init__(self, learners: IndependentLearners) -> None:
        self.models, self.turn = learners.models, -1
        for place, model in enumerate(self.models.values()):
            model.train = self._only_in(place, model.train)  # type: ignore[method-assign]
        self.at_episode(0)

    def _only_in(self, place: int, train: Callable[..., None]) -> Callable[..., None]:
        def maybe(*arguments: Any, **named: Any) -> None:
            if self.turn % len(self.models) == place:
                train(*arguments, **named)

        return maybe

    def at_episode(self, episode: int) -> None:
        """Episodes are done; a new turn may begin."""
        if episode // TURN != self.turn:
            self.turn = episode // TURN
            active: Any = list(self.models.values())[self.turn % len(self.models)]
            active.replay_buffer.reset()


def learners_of(arm: str, algorithm: str, seed: int, fixed: dict[str, Any]) -> IndependentLearners:
    """Of one training."""
    given = algorithms.find(algorithm)
    changed = replace(given, replay_episodes=REPLAY.get(arm, given.replay_episodes))
    return IndependentLearners(GAME, steps=STEPS, algorithm=changed, seed=seed, fixed=fixed)


def schedules_of(learners: IndependentLearners) -> Controls:
    """What everybody plays without exploration."""
    return rollout(GAME, learners.policies(), STEPS).controls


def jointly(arm: str, algorithm: str, seed: int, timesteps: int, out: Path) -> list[float]:
    """Everybody's gains where all learn."""
    learners = learners_of(arm, algorithm, seed, {})
    turns = Turns(learners) if arm == "turns" else None
    tape = [schedules_of(learners)]

    def follow(done: int) -> None:
        tape.append(schedules_of(learners))
        if turns is not None:
            turns.at_episode(done // learners.episode)

    learners.learn(timesteps, on_episode=follow)
    tape[-1] = schedules_of(learners)  # with the last updates
    if arm == "together":
        path = recording(algorithm, seed, out)
        parts = {name: np.stack([getattr(each, name) for each in tape]) for name in ("rate", "ask", "bid")}
        with path.with_suffix(".part").open("wb") as file:
            np.savez(file, **parts)
        path.with_suffix(".part").replace(path)
    return list(exploitability(GAME, tape[-1], STEPS).gains)


def recording(algorithm: str, seed: int, out: Path) -> Path:
    """Where what all played is kept."""
    return out / f"{algorithm}-{seed}.npz"


def one_by_one(arm: str, algorithm: str, seed: int, timesteps: int, out: Path) -> list[float]:
    """Each agent's gain where it alone learns."""
    given, gains = algorithms.find(algorithm), []
    if arm in ("tape", "still", "quiet"):
        kept = np.load(recording(algorithm, seed, out))
        tape = [Controls(*parts) for parts in zip(kept["rate"], kept["ask"], kept["bid"], strict=True)]
        tape = tape if arm == "tape" else tape[-1:]
    else:
        tape = [NASH.controls]
    episodes = -(-timesteps // (STEPS * given.markets))

    def deviation(episode: int) -> float:
        return 0.0 if arm in ("alone", "quiet") else geometric(given.exploration, episode / episodes)

    def schedules(episode: int) -> Controls:
        return tape[min(episode, len(tape) - 1)]

    for agent in GAME.agents:
        others = [other for other in GAME.agents if other != agent]
        fixed = {other: Played(other, schedules, deviation, 10 * seed + i) for i, other in enumerate(others)}
        learners = learners_of(arm, algorithm, seed, fixed)
        learners.learn(timesteps)
        own = rollout(GAME, NASH.open_loop() | {agent: learners.policies()[agent]}, STEPS).controls
        columns, profile = agent_columns(GAME, agent), join_controls(GAME, tape[-1])
        profile[:, columns] = join_controls(GAME, own)[:, columns]
        gains.append(float(exploitability(GAME, split_controls(GAME, profile), STEPS).gains[GAME.agents.index(agent)]))
    return gains


def result(arm: str, algorithm: str, seed: int, timesteps: int, out: Path) -> dict[str, Any]:
    """One row, from its file if it is there."""
    warnings.filterwarnings("ignore")
    path = out / f"{algorithm}-{arm}-{seed}.json"
    if path.is_file():
        return dict(json.loads(path.read_text(encoding="utf-8")))
    started = time.process_time()
    work = one_by_one if arm in ("alone", "noisy", "still", "quiet", "tape") else jointly
    gains = work(arm, algorithm, seed, timesteps, out)
    row = {"arm": arm, "algorithm": algorithm, "seed": seed, "timesteps": timesteps}
    row |= {"gains": [100 * each / SIZE for each in gains], "seconds": time.process_time() - started}
    path.write_text(json.dumps(row), encoding="utf-8")
    return row


def show(console: Console, rows: Sequence[dict[str, Any]]) -> None:
    """One line an arm."""
    table = Table("arm", "seeds", "sum of gains, %: median", "by seed", *GAME.agents, "processor seconds")
    for arm in ARMS:
        own = sorted((row for row in rows if row["arm"] == arm), key=lambda row: int(row["seed"]))
        if not own:
            continue
        total = [sum(row["gains"]) for row in own]
        agents = [f"{np.median([row['gains'][i] for row in own]):.2g}" for i in range(len(GAME.agents))]
        table.add_row(
            arm,
            str(len(own)),
            f"{spread(total).median:.3g}",
            ", ".join(f"{each:.3g}" for each in total),
            *agents,
            f"{np.mean([row['seconds'] for row in own]):.0f}",
        )
    console.print(table)
    console.print(machine())


def main() -> None:
    """Train what is missing, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=ARMS)
    parser.add_argument("--algorithm", choices=["td3", "sac"], default="td3")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--timesteps", type=int, default=32_000)
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--out", type=Path, default=Path("runs/off-policy"))
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    rows = []
    with ProcessPoolExecutor(arguments.jobs) as pool, Progress(console=Console(stderr=True)) as bar:
        for arms in (("together",), ARMS[1:]):  # the tape is recorded first
            wanted = [(arm, seed) for seed in range(arguments.seeds) for arm in arms if arm in arguments.arms]
            tasks = [
                pool.submit(result, arm, arguments.algorithm, seed, arguments.timesteps, arguments.out)
                for arm, seed in wanted
            ]
            for task in bar.track(as_completed(tasks), total=len(tasks), description=arms[0]):
                rows.append(task.result())
    show(Console(width=140), rows)


if __name__ == "__main__":
    main()
