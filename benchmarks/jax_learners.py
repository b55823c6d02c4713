"""How fast is learning in JAX beside stable-baselines3?

    python benchmarks/jax_learners.py [--seeds 20] [--timesteps 160000] [--sb3 3] [--vmapped] [--cache]
    python benchmarks/jax_learners.py --budgets --sb3 0
    python benchmarks/jax_learners.py --memory --sb3 0

On `acas`, on the same machine with the same budget and networks. Compilation, one seed in one call of the compiled
program, and many seeds, of which as many run at once as there are processors; with ``--vmapped`` also as one axis of
the program's arrays. Wall clock, processor time of all threads, and relative NashConv by seed. ``--cache`` compiles
with JAX's persistent cache, as runs do; otherwise compilation is counted whole. ``--sb3``: number of seeds of
stable-baselines3; 0: none; with 20 the ratio of medians has an interval. ``--budgets``: how few steps plain policy
gradients need, with settings that were chosen on other seeds. ``--memory``: what more seeds take. Needs the extras
``jax`` and ``train``.

Measured: ten times as fast in processor time, with the same NashConv ([learning in
JAX](docs/pipelines/jax.md#what-they-reach-and-how-fast))
"""

from __future__ import annotations

import argparse
import os
import resource
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from rich.console import Console
from rich.table import Table
from scipy.stats import bootstrap
from timing import machine

from makertaker.baselines import exploitability
from makertaker.envs import read_scenario, rollout
from makertaker.training.common.jax_algorithms import find
from makertaker.training.common.learners import Learners
from makertaker.training.jax import cache
from makertaker.training.jax.learners import JaxLearners

SCENARIO = read_scenario("acas")
GAME, STEPS = SCENARIO.game, SCENARIO.steps
BUDGETS = ((10_000, 4, 1e-4), (20_000, 8, 1e-4), (40_000, 8, 1e-4), (80_000, 8, 1e-4), (160_000, 16, 5e-5))
"""joint steps, markets and last learning rate"""


def timed(work: Callable[[], Any]) -> tuple[Any, float, float]:
    """What work returns, its seconds, and seconds of processors."""
    started, used = time.perf_counter(), time.process_time()
    result = work()
    return result, time.perf_counter() - started, time.process_time() - used


def relative(learners: Learners) -> float:
    """Relative NashConv of the learners' schedules."""
    return exploitability(GAME, rollout(GAME, learners.policies(), STEPS).controls, STEPS).relative


def vmapped(learners: Sequence[JaxLearners], timesteps: int) -> Callable[[], Any]:
    """All trainings as one program with an axis over seeds, compiled; gives every learner its end."""
    first = learners[0]
    total = first.iterations(timesteps)
    states = jax.tree.map(lambda *each: jnp.stack(each), *(each.state for each in learners))
    program = first.trainer.run_seeds.lower(states, 1, total).compile()

    def run() -> None:
        end = jax.block_until_ready(program(states, total, total))
        for i, each in enumerate(learners):
            each.state = jax.tree.map(lambda values, i=i: values[i], end)

    return run


def in_threads(learners: Sequence[JaxLearners], timesteps: int) -> None:
    """All trainings, as many at once as there are processors."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(lambda each: each.learn(timesteps), learners))


def budgets(console: Console, seeds: int) -> None:
    """How few joint steps plain policy gradients need."""
    table = Table("joint steps", "seconds, one seed", f"seconds, {seeds} seeds", "relative NashConv", "below 0.1%")
    for timesteps, markets, last in BUDGETS:
        settings = find("reinforce").changed({"learning_rate": [1e-2, last]}, "reinforce")
        first = JaxLearners(GAME, steps=STEPS, algorithm=settings, markets=markets)
        first.with_seed(0).learn(timesteps, until=1)
        fresh = [first.with_seed(0) for _ in range(5)]
        alone = min(timed(lambda new=new, all_=timesteps: new.learn(all_))[1] for new in fresh)
        many = [first.with_seed(seed) for seed in range(seeds)]
        _, seconds, _ = timed(lambda many=many, all_=timesteps: in_threads(many, all_))
        found = 100 * np.array([relative(each) for each in many])
        shown = f"{np.median(found):.3f}% ({found.min():.3f} to {found.max():.3f})"
        table.add_row(f"{timesteps:,}", f"{alone:.3f}", f"{seconds:.2f}", shown, f"{(found < 0.1).sum()} of {seeds}")
    console.print(table)


def memory(console: Console, timesteps: int) -> None:
    """The process's largest memory as seeds are added."""
    peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # noqa: E731
    table, first = Table("seeds trained", "largest memory, MB", "a seed's own numbers, MB"), None
    table.add_row("0", f"{peak():.0f}", "")
    first = JaxLearners(GAME, steps=STEPS)
    own = sum(each.nbytes for each in jax.tree.leaves(first.state)) / 1e6
    for seeds in (1, 2, 20, 100):
        in_threads([first.with_seed(seed) for seed in range(seeds)], timesteps)
        table.add_row(str(seeds), f"{peak():.0f}", f"{own:.2f}")
    console.print(table)


def ratio_of_medians(ours: Sequence[float], theirs: Sequence[float]) -> str:
    """With its 95% bootstrap interval."""

    def statistic(x: np.ndarray, y: np.ndarray, axis: int = -1) -> np.ndarray:
        return np.asarray(np.median(x, axis=axis) / np.median(y, axis=axis))

    rng = np.random.default_rng(0)
    found = bootstrap((ours, theirs), statistic, method="percentile", rng=rng).confidence_interval
    return f"{np.median(ours) / np.median(theirs):.2f} ({found.low:.2f} to {found.high:.2f})"


def main() -> None:
    """Print what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--timesteps", type=int, default=160_000)
    parser.add_argument("--sb3", type=int, default=3)
    parser.add_argument("--vmapped", action="store_true")
    parser.add_argument("--cache", action="store_true")
    parser.add_argument("--budgets", action="store_true")
    parser.add_argument("--memory", action="store_true")
    given = parser.parse_args()
    console, timesteps = Console(width=120), given.timesteps
    console.print(machine())
    if given.budgets:
        budgets(console, given.seeds)
    elif given.memory:
        memory(console, timesteps)
    else:
        beside(console, given)


def beside(console: Console, given: argparse.Namespace) -> None:
    """Learners in JAX, and those of stable-baselines3."""
    timesteps = given.timesteps
    table = Table("learners on acas", "seeds", "seconds", "of processors", "joint steps/s", "relative NashConv")

    def add(name: str, seconds: float, used: float, found: Sequence[float]) -> float:
        steps = timesteps * len(found) / seconds
        low, middle, high = 100 * np.quantile(found, [0.0, 0.5, 1.0])
        shown = f"{middle:.3f}% ({low:.3f} to {high:.3f})"
        table.add_row(name, str(len(found)), f"{seconds:.1f}", f"{used:.1f}", f"{steps:,.0f}", shown)
        return steps

    if not given.cache:
        cache.use = lambda: None
    _, building, _ = timed(lambda: JaxLearners(GAME, steps=STEPS))
    first = JaxLearners(GAME, steps=STEPS)
    _, seconds, used = timed(lambda: first.with_seed(0).learn(timesteps, until=1))
    console.print(f"building {building:.1f} s; compilation {seconds:.1f} s, {used:.1f} s of processors")
    _, seconds, used = timed(lambda: first.learn(timesteps))
    alone = add("JAX, one call", seconds, used, [relative(first)])

    def follow(done: int) -> None:
        del done

    first = first.with_seed(0)
    _, seconds, used = timed(lambda: first.learn(timesteps, on_episode=follow))
    add("JAX, a call for each episode", seconds, used, [relative(first)])

    many = [first.with_seed(seed) for seed in range(given.seeds)]

    _, seconds, used = timed(lambda: in_threads(many, timesteps))
    ours = [relative(each) for each in many]
    together = add("JAX, seeds in threads", seconds, used, ours)
    if given.vmapped:
        many = [first.with_seed(seed) for seed in range(given.seeds)]
        _, seconds, used = timed(vmapped(many, timesteps))
        add("JAX, seeds vmapped", seconds, used, [relative(each) for each in many])
    if given.sb3:
        from makertaker.training import IndependentLearners

        others = [IndependentLearners(GAME, steps=STEPS, seed=seed) for seed in range(given.sb3)]
        _, seconds, used = timed(lambda: [each.learn(timesteps) for each in others])
        theirs = [relative(each) for each in others]
        steps = add("stable-baselines3, one after another", seconds, used, theirs)
        if len(theirs) > 1:
            console.print(f"ratio of median NashConv, 95% bootstrap interval: {ratio_of_medians(ours, theirs)}")
        console.print(f"JAX over stable-baselines3: {alone / steps:.1f} times, many seeds {together / steps:.1f} times")
    console.print(table)


if __name__ == "__main__":
    main()
