"""Play as data for offline learners: Minari data sets, one for each agent. Needs the extra ``data``."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import gymnasium
import numpy as np
from rich.console import Console

from ..envs import read_scenario, scenario_names, text
from ..envs.observation import Kind
from ..envs.packing import join_actions, split_controls
from ..envs.parallel_env import GameParallelEnv
from ..envs.parameters import check_count
from . import runs
from .common.extras import needed
from .common.information import check_information
from .evaluation.scoring import evaluate
from .play import Play, play_of

_FOLDER = "MINARI_DATASETS_PATH"
"""the variable that says where Minari has its data sets"""
_ID = "makertaker/MakerTaker-v0"
"""of the environment that a data set brings along"""


class Recorded(NamedTuple):
    """What :func:`record` wrote."""

    folder: Path
    """``MINARI_DATASETS_PATH`` for ``minari.load_dataset``"""
    datasets: dict[str, str]
    """names of data sets by agent"""
    episodes: int
    steps: int
    """of an episode"""
    relative_nash_conv: float
    """of the policies, without perturbation"""


def record(
    source: str | Path,
    out: str | Path,
    *,
    episodes: int = 100,
    perturb: float = 0.0,
    spread: float = 0.0,
    information: Kind | None = None,
    policies: str | None = None,
    seed: int = 0,
    steps: int | None = None,
    overrides: Sequence[str] = (),
    overwrite: bool = False,
    trust: bool = False,
    console: Console | None = None,
) -> Recorded:
    """Play episodes and write what every agent saw, did and got.

    Observations, actions and rewards are those of the environments with their defaults. The metadata of a data set has
    NashConv, the agent's exploitability and payoffs in currency, and the unit of its rewards;
    ``recover_environment()`` gives the agent's environment, in which the others play the equilibrium, where the market
    is that of a named scenario.

    Args:
        source: a run directory, or a scenario: its name, or the path of its file.
        out: the folder of the data sets, Minari's ``MINARI_DATASETS_PATH``.
        episodes: their number.
        perturb: standard deviation of normal noise on every action, in units of actions.
        spread: standard deviation of normal noise on the initial inventories, in shares.
        information: what observations show; None: what the policies see.
        policies: who plays: ``"learned"`` or ``"equilibrium"``; None: the learned ones of a run, otherwise the
            equilibrium.
        seed: of all noise.
        steps: of a scenario's grid; None: the scenario's.
        overrides: ``key=value`` of a scenario.
        overwrite: True if data sets of the same names may be replaced.
        trust: see :func:`.runs.load_policies`.
        console: for the progress bar; None: there is none.

    Raises:
        ImportError: Minari is missing.
        ValueError: an argument is out of its range, there are data sets of these names, or the run cannot be read;
            nothing has been written then.
        EquilibriumNotFound: the game was not solved.
    """
    minari: Any = needed("common.minari", "data")
    check_count("episodes", episodes)
    check_count("seed", seed, least=0)
    if not isinstance(perturb, int | float) or not np.isfinite(perturb) or perturb < 0:
        raise ValueError(f"perturb: expected a number >= 0, got {perturb!r}")
    play, folder = play_of(source, policies, steps, overrides, trust), Path(out).absolute()
    if play.drawn:
        raise ValueError(f"run: expected one of one game, {text.shown(source)!r} learned in random markets")
    seen = play.sees if information is None else check_information(information)
    game, names = play.task.game, _names(play)
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"out: expected a folder, {text.shown(str(folder))!r} is a file")
    env = GameParallelEnv(game, steps=play.task.steps, observation=seen, inventory_spread=spread)
    with _stored_in(folder):
        taken = [name for name in names.values() if minari.exists(name)]
        if taken and not overwrite:
            raise ValueError(
                f"out: {text.shown(folder)!r} has the data sets {taken}; overwrite replaces them (--overwrite)"
            )
        found = evaluate(game, play.policies, play.task.steps, play.information, play.task.equilibrium)
        played = _play(env, play, episodes, perturb, seed, console)
        relative = found.metrics["relative_nash_conv"]
        told = {
            **{"nash_conv": found.metrics["nash_conv"], "relative_nash_conv": relative},
            **{"exploitability_against": found.metrics["exploitability_against"], "policies": play.title},
            **{"information": play.sees, "observation": seen, "perturb": perturb, "inventory_spread": spread},
            **{"seed": seed, "steps": play.task.steps},
        }
        for agent, name in names.items():
            mine = {key: found.metrics["agents"][agent][key] for key in ("learned", "equilibrium", "exploitability")}
            minari.write(
                name,
                played[agent],
                spaces=(env.observation_space(agent), env.action_space(agent)),
                env=_environment(play, agent, seen, spread),
                algorithm=play.who,
                description=f"{play.title}: {agent}",
                metadata={**told, **mine, "agent": agent, "payoff_unit": game.payoff_unit(agent)},
            )
    env.close()
    return Recorded(folder, names, episodes, play.task.steps, relative)


def _names(play: Play) -> dict[str, str]:
    """Names of data sets by agent: of letters, digits and dashes, as Minari has them."""
    scenario = "".join(each if each.isalnum() else "-" for each in play.name)
    who = "equilibrium" if play.who == "equilibrium" else "learned"
    return {agent: f"makertaker/{scenario}-{who}-{agent.replace('_', '-')}-v0" for agent in play.task.game.agents}


@contextmanager
def _stored_in(folder: Path) -> Iterator[None]:
    """Minari's folder is another one meanwhile."""
    before = os.environ.get(_FOLDER)
    os.environ[_FOLDER] = str(folder)
    try:
        yield
    finally:
        if before is None:
            del os.environ[_FOLDER]
        else:
            os.environ[_FOLDER] = before


def _play(
    env: GameParallelEnv, play: Play, episodes: int, perturb: float, seed: int, console: Console | None
) -> dict[str, list[dict[str, Any]]]:
    """Every agent's episodes: observations (K + 1, D), actions (K, 1 or 2), rewards (K,)."""
    game, rng = play.task.game, np.random.default_rng(seed)
    written: dict[str, list[dict[str, Any]]] = {agent: [] for agent in game.agents}
    with runs.progress_bar(console) as bar:
        shown = bar.add_task("playing", total=episodes, gain="")
        for episode in range(episodes):
            first, _ = env.reset(seed=int(rng.integers(2**31)))
            parts: dict[str, Any] = {agent: ([first[agent]], [], []) for agent in game.agents}
            for k in range(play.task.steps):
                state = env.market.state
                controls = {agent: policy(k, state) for agent, policy in play.policies.items()}
                actions = env.actions_from(game.clip(split_controls(game, join_actions(game, controls))))
                for agent, action in actions.items():
                    space = env.action_space(agent)
                    noise = perturb * rng.standard_normal(action.shape)
                    actions[agent] = np.clip(action + noise, space.low, space.high).astype(space.dtype)
                seen, rewards, *_ = env.step(actions)
                for agent, (observations, acts, gains) in parts.items():
                    observations.append(seen[agent])
                    acts.append(actions[agent])
                    gains.append(float(rewards[agent]))
            for agent, (observations, acts, gains) in parts.items():
                ended = [False] * (len(gains) - 1) + [True]
                arrays = {"observations": np.stack(observations), "actions": np.stack(acts), "rewards": gains}
                written[agent].append(
                    {**arrays, "terminations": ended, "truncations": [False] * len(gains), "id": episode}
                )
            bar.advance(shown)
    return written


def _environment(play: Play, agent: str, seen: Kind, spread: float) -> gymnasium.Env[Any, Any] | None:
    """The agent's environment; None for a market that no scenario of this package is."""
    if play.name not in scenario_names() or read_scenario(play.name).game != play.task.game:
        return None
    more: dict[str, Any] = {"inventory_spread": spread} if spread else {}
    return gymnasium.make(_ID, scenario=play.name, steps=play.task.steps, agent=agent, observation=seen, **more)
