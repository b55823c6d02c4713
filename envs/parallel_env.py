"""The PettingZoo parallel environment of a game: a thin adapter over :class:`~makertaker.envs.market.Market`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from gymnasium.logger import warn
from gymnasium.spaces import Box
from pettingzoo import AECEnv, ParallelEnv
from pettingzoo.utils import OrderEnforcingWrapper, parallel_to_aec

from .described import Described, Description, describe, named
from .game import Controls
from .infos import everyone
from .limits import Ghost, Limits, as_ghost, limits
from .market import Given, Market
from .names import unknown
from .observation import state_space
from .options import OptionsLike
from .packing import agent_columns, join_controls
from .rendering import Recording, Renderer, has_display

Arrays: TypeAlias = dict[str, np.ndarray]
Info: TypeAlias = dict[str, float | np.ndarray]
Infos: TypeAlias = dict[str, Info]
Outcome: TypeAlias = tuple[Arrays, dict[str, float], dict[str, bool], dict[str, bool], Infos]
Sequential: TypeAlias = AECEnv[str, np.ndarray, np.ndarray]
RENDER_MODES = ("human", "rgb_array")
_FPS = 10
"""frames per second"""


class GameParallelEnv(ParallelEnv[str, np.ndarray, np.ndarray]):  # type: ignore[misc]  # PettingZoo is untyped
    """A game as a PettingZoo parallel environment.

    Args:
        game: the game; or a scenario, its name, the path of its file, or a mapping of its contents.
        options: of the environment.
        scenario: in place of a game.
        render_mode: ``"human"``, ``"rgb_array"`` or None; see :meth:`render`.
        name: the environment's name; by default the game's.
        arguments: fields of :class:`.Options`, and parameters of the game.

    Raises:
        ValueError: an argument is out of its range.
    """

    metadata: dict[str, object] = {"render_modes": list(RENDER_MODES), "render_fps": _FPS, "is_parallelizable": True}  # noqa: RUF012

    def __init__(
        self,
        game: Described | None = None,
        options: OptionsLike = None,
        *,
        scenario: Described | None = None,
        render_mode: str | None = None,
        name: str | None = None,
        **arguments: Any,
    ) -> None:
        if render_mode is not None and render_mode not in RENDER_MODES:
            raise unknown("render_mode", render_mode, RENDER_MODES, more=" or None")
        found = describe(game, scenario, options, arguments, own=("render_mode", "name"))
        self._shown = render_mode == "human" and has_display()
        self.game = found.game
        self.market = Market(found.game, found.options, found.random)
        self.options = self.market.options
        self.render_mode = render_mode
        self._name = found.game.environment if name is None else name
        self.metadata = {**type(self).metadata, "name": self._name}
        self.possible_agents = list(self.game.agents)
        self.agents: list[str] = []
        self.observation_spaces = dict.fromkeys(self.possible_agents, self.market.observation_space)
        self.action_spaces = {agent: self.market.action_space(agent) for agent in self.possible_agents}
        self.state_space = state_space(self.game, self.market.context)
        self._rng = np.random.default_rng()
        self._renderer: Renderer | None = None
        self._recording: Recording | None = None
        self._ghost: Ghost | None = None
        self._limits: Limits | None = None

    def observation_space(self, agent: str) -> Box:
        """Space of one agent's observations."""
        return self.observation_spaces[agent]

    def action_space(self, agent: str) -> Box:
        """Space of one agent's actions: ``[rate]`` of a trader, ``[ask, bid]`` of a maker."""
        return self.action_spaces[agent]

    def reset(self, seed: int | None = None, options: Given = None) -> tuple[Arrays, Infos]:
        """Start an episode.

        Args:
            seed: of the random initial inventories and of the price noise.
            options: ``{"inventory": (n,) array}`` starts from these inventories.

        Raises:
            ValueError: inventories that do not fit.
        """
        if seed is not None:
            self._rng = np.random.default_rng(seed)
        self.market.reset(self._rng, (options or {}).get("inventory"))
        self.agents = list(self.possible_agents)
        self._recording = None if self.render_mode is None else Recording(self.market)
        self._limits = None
        if self._shown:
            self.render()
        return self._observations(), self._infos()

    def step(self, actions: Arrays) -> Outcome:
        """Play one step.

        Args:
            actions: of every agent, in the units of the options; any float dtype. Out of bounds is truncated.

        Raises:
            ValueError: an agent is missing, a shape is wrong, or an action is NaN; nothing is played then.
        """
        self._check_open()
        return self.play(self.controls_from(actions))

    def play(self, controls: Controls) -> Outcome:
        """Play one step with physical controls (N,), (M,), (M,) within the game's constraints."""
        self._check_open()
        market = self.market
        earned = market.advance(self.game.complete(controls), market.draw(self._rng))
        rewards, agents, done = earned.tolist(), self.agents, market.done
        observations, infos = self._observations(), self._infos()
        if done:
            self.agents = []
        if self._recording is not None:
            self._recording.add(earned)
        if self._shown:
            self.render()
        return (
            observations,
            dict(zip(agents, rewards, strict=True)),
            dict.fromkeys(agents, done),
            dict.fromkeys(agents, False),
            infos,
        )

    def _check_open(self) -> None:
        if not self.agents:
            raise ValueError("the episode has ended, or not begun: call reset before step")

    def controls_from(self, actions: Arrays) -> Controls:
        """The physical controls that actions stand for, truncated as :meth:`step` does."""
        return self.market.controls_from(actions)

    def actions_from(self, controls: Controls) -> Arrays:
        """Actions by agent that stand for physical controls (N,), (M,), (M,): the inverse of :meth:`controls_from`."""
        controls = self.game.complete(controls)
        flat = join_controls(self.game, self.market.scale.actions(controls))
        return {agent: flat[agent_columns(self.game, agent)] for agent in self.game.agents}

    def state(self) -> np.ndarray:
        """The state that all observations are made of: time, factor, inventories, what the market shows, last quotes;
        normalised."""
        return self.market.observer.state(self.market.state)

    def set_ghost(self, played: object, label: str = "equilibrium") -> None:
        """Draw something behind every episode to compare it with: dashed paths of inventories and quotes or rates, and
        marks at payoffs.

        Args:
            played: of this game and grid: an equilibrium, a :class:`.Trajectory`, or anything else with ``inventories``
                (K+1, n) and ``controls``, whose ``payoffs`` (n,) are marked if it has them; None: nothing is drawn.
            label: its name in the legend.

        Raises:
            ValueError: something is missing, or a shape does not fit.
        """
        self._ghost = None if played is None else as_ghost(self.game, self.market.steps, played, label)
        self._limits = None

    def render(self) -> np.ndarray | None:
        """The episode so far from its beginning on, whenever it is looked at: as an RGB array (H, W, 3), of one size,
        or in a window; with a ``render_mode``. Axes do not move within an episode; :mod:`.limits` says where they end.

        Raises:
            ImportError: matplotlib is not installed.
        """
        if self.render_mode is None:
            warn(f"render: nothing is drawn without a render_mode, one of {list(RENDER_MODES)}")
            return None
        if self.render_mode == "human" and not self._shown:  # which a warning has said
            return None
        market = self.market
        if self._recording is None:  # before the first reset
            self._recording = Recording(market)
        if self._renderer is None:
            self._renderer = Renderer(self.game, market.times, self._shown, self._name, 1 / _FPS)
        if self._limits is None:
            self._limits = limits(market, self._ghost)
        self._renderer.begin(self._limits, self._ghost)
        return self._renderer.draw(self._recording.frames)

    def close(self) -> None:
        """Release the window, if there is one."""
        if self._renderer is not None:
            self._renderer.close()
            self._renderer = None

    def __getstate__(self) -> dict[str, object]:
        """A copy draws its own pictures: canvases are neither copied nor pickled."""
        return {**self.__dict__, "_renderer": None}

    def _observations(self) -> Arrays:
        return dict(zip(self.possible_agents, self.market.observations(), strict=True))

    def _infos(self) -> Infos:
        return dict(zip(self.possible_agents, everyone(self.market), strict=True))


class Module(NamedTuple):
    """The parts of a PettingZoo module of a game."""

    parallel_env: Callable[..., GameParallelEnv]
    raw_env: Callable[..., Sequential]
    env: Callable[..., Sequential]
    describe: Callable[..., Description]


def module(default: str, name: str) -> Module:
    """The functions of a PettingZoo module.

    Args:
        default: the scenario that it plays where nothing else is asked for.
        name: of the environment.
    """

    def described(
        game: Described | None = None,
        scenario: Described | None = None,
        *,
        options: OptionsLike = None,
        own: Sequence[str] = ("render_mode",),
        **arguments: Any,
    ) -> Description:
        """The market of the arguments of :func:`parallel_env`, and of ``own`` others."""
        return describe(game, scenario, options, arguments, default, own)

    def parallel_env(
        game: Described | None = None,
        scenario: Described | None = None,
        *,
        options: OptionsLike = None,
        render_mode: str | None = None,
        **arguments: Any,
    ) -> GameParallelEnv:
        """The parallel environment; arguments as in the module's docstring. Raises ValueError for a bad argument."""
        market = described(game, scenario, options=options, **arguments)
        same = type(market.game) is type(named(default).game)
        own = name if same else market.game.environment
        played = market.game if market.random is None else market.random
        return GameParallelEnv(played, market.options, render_mode=render_mode, name=own)

    def raw_env(*given: Described, **arguments: Any) -> Sequential:
        """The sequential environment, without wrappers."""
        return parallel_to_aec(parallel_env(*given, **arguments))

    def env(*given: Described, **arguments: Any) -> Sequential:
        """The sequential environment, which insists on the order of calls."""
        return OrderEnforcingWrapper(raw_env(*given, **arguments))

    return Module(parallel_env, raw_env, env, described)
