"""Many markets at once, stepped by array operations, with one learner: a ``gymnasium.vector.VectorEnv``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import ArrayLike

from .arrays import is_whole
from .described import Described, describe
from .grid import Policy
from .infos import agent_info
from .market import Given, Market
from .names import unknown
from .options import OptionsLike
from .packing import agent_index, learner
from .parameters import check_count
from .single_agent_env import Opponents, check_others
from .specification import PlainSpec

Info: TypeAlias = dict[str, Any]
"""as Gymnasium's vector environments have it: arrays over the markets, and under ``_name`` which of them say it"""
Seed: TypeAlias = int | Sequence[int] | None
Step: TypeAlias = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, Info]


class MarketVectorEnv(PlainSpec, VectorEnv[np.ndarray, np.ndarray, np.ndarray]):
    """A batch of markets with a common clock: all end together.

    Args:
        game: the game; or a scenario, its name, the path of its file, or a mapping of its contents.
        num_envs: number of markets.
        agent: name of the learner; None: the first of the game's agents.
        others: policy of every other agent; in random markets also a function of the market, which has a batch axis,
            that makes them for every episode.
        options: of the environment.
        scenario: in place of a game.
        autoreset_mode: what happens at the end, as in Gymnasium's own: with ``NextStep``, the default, the step after
            the last starts an episode, whatever its actions; with ``SameStep`` the last step does, and its information
            has ``final_obs`` and ``final_info``; ``Disabled`` leaves it to ``reset``.
        arguments: fields of :class:`.Options`, and parameters of the game.

    Raises:
        ValueError: an argument is out of its range.

    Examples:
        >>> import numpy as np
        >>> from makertaker.baselines import solve
        >>> from makertaker.envs import MarketVectorEnv
        >>> markets = MarketVectorEnv("acas", num_envs=3, agent="maker_0", others=solve("acas").open_loop())
        >>> observations, infos = markets.reset(seed=0)
        >>> observations, rewards, *_ = markets.step(np.zeros((3, 2), dtype=np.float32))
        >>> observations.shape, rewards.shape
        ((3, 13), (3,))
    """

    def __init__(
        self,
        game: Described | None = None,
        num_envs: int = 1,
        agent: str | None = None,
        others: Opponents | None = None,
        options: OptionsLike = None,
        *,
        scenario: Described | None = None,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        **arguments: Any,
    ) -> None:
        own = ("num_envs", "agent", "others", "autoreset_mode")
        found = describe(game, scenario, options, arguments, own=own)
        check_count("num_envs", num_envs)
        self.autoreset_mode = _mode(autoreset_mode)
        agent = learner(found.game, agent)
        self.index = agent_index(found.game, agent)
        self.game, self.agent, self.num_envs = found.game, agent, int(num_envs)
        self.market = Market(found.game, found.options, found.random, batch=(self.num_envs,))
        self.opponents: Opponents = {} if others is None else others
        self.others: dict[str, Policy] = {}
        if isinstance(self.opponents, Mapping):
            self.others = check_others(self.game.agents, agent, self.opponents, self.market.steps)
        self.metadata = {"render_modes": [], "autoreset_mode": self.autoreset_mode}
        self.single_observation_space = self.market.observation_space
        self.single_action_space = self.market.action_space(agent)
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.action_space = batch_space(self.single_action_space, self.num_envs)
        self._rng = np.random.default_rng()

    def reset(self, *, seed: Seed = None, options: Given = None) -> tuple[np.ndarray, Info]:
        """Start an episode in every market.

        Args:
            seed: of the random initial inventories and of the price noise; the markets share one generator, so that
                several numbers are one seed.
            options: ``{"inventory": array}`` of shape (n,) or (num_envs, n) starts from these inventories;
                ``{"reset_mask": array}`` may say that all markets start anew, but not that some do.

        Raises:
            ValueError: inventories that do not fit, a negative seed, or a mask that leaves a market out.
        """
        options = options or {}
        mask = np.asarray(options.get("reset_mask", np.full(self.num_envs, True)))
        if mask.shape != (self.num_envs,) or not mask.all():
            expected = f"all markets end together, expected {self.num_envs} times True"
            raise ValueError(f"reset_mask: {expected}, got {options['reset_mask']!r}")
        if seed is not None:
            self._rng = _generator(seed)
            self._np_random = self._rng
            self._np_random_seed = seed if is_whole(seed) else tuple(seed)  # type: ignore[assignment, arg-type]  # as Gymnasium's own
        self._start(options.get("inventory"))
        return self._observe(), self._info()

    def _start(self, inventory: ArrayLike | None = None) -> None:
        """An episode, with its opponents."""
        self.market.reset(self._rng, inventory)
        if not isinstance(self.opponents, Mapping):
            self.others = check_others(self.game.agents, self.agent, self.opponents(self.market), self.market.steps)

    def step(self, actions: ArrayLike) -> Step:
        """Play one step in every market.

        Args:
            actions: (num_envs, 1) of a trader, (num_envs, 2) of a maker: numbers, or an array of any library.

        Raises:
            ValueError: a wrong shape or NaN, or the episodes have ended and none was started.
        """
        market, same = self.market, self.autoreset_mode is AutoresetMode.SAME_STEP
        if market.done and self.autoreset_mode is AutoresetMode.NEXT_STEP:
            self._start()
            return self._outcome(np.zeros(self.num_envs), False, self._info())
        controls = market.controls_with(self.agent, actions, self.others)
        rewards = market.advance(controls, market.draw(self._rng))[:, self.index]
        done, infos = market.done, self._info()
        if done and same:
            last = {"final_obs": self._observe(), "final_info": infos}
            self._start()
            infos = self._info() | last
            infos |= {f"_{name}": np.full(self.num_envs, True) for name in last}
        return self._outcome(rewards, done, infos)

    def _outcome(self, rewards: np.ndarray, done: bool, infos: Info) -> Step:
        ended = np.full(self.num_envs, done)
        return self._observe(), rewards, ended, np.zeros(self.num_envs, dtype=bool), infos

    def _observe(self) -> np.ndarray:
        return np.ascontiguousarray(self.market.observation(self.index))

    def _info(self) -> Info:
        infos: Info = {name: np.array(each) for name, each in agent_info(self.market, self.index).items()}
        known = np.full(self.num_envs, True)
        return infos | {f"_{name}": known for name in infos}


def _generator(seed: int | Sequence[int]) -> np.random.Generator:
    """Raises ValueError for anything but whole numbers of at least 0."""
    numbers = [seed] if is_whole(seed) or not isinstance(seed, Sequence) else list(seed)
    if not numbers or not all(is_whole(each) and each >= 0 for each in numbers):
        raise ValueError(f"seed: expected a whole number >= 0 or a list of them, got {seed!r}")
    return np.random.default_rng(seed)


def _mode(given: AutoresetMode | str) -> AutoresetMode:
    """An autoreset mode, by itself, its value or its name."""
    for mode in AutoresetMode:
        if given in (mode, mode.value, mode.name):
            return mode
    raise unknown("autoreset_mode", given, [mode.value for mode in AutoresetMode])
