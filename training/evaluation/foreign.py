"""Anybody's agents as policies: functions of observations, objects with ``predict``, torch modules.

A learner from another library knows an environment's observations and actions, one at a time or in batches. Simulation
and best responses ask for policies ``(k, state) -> physical controls`` on batches of any shape. What stands here
translates, and says in one line what does not fit.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from ...baselines.errors import EquilibriumNotFound
from ...baselines.gymnasium_envs import equilibria
from ...baselines.policies import OpenLoop, PrivateCopy
from ...envs import Controls, Game, Policy, State, rollout
from ...envs.described import inner_environments, setting_of
from ...envs.market import Market, Setting
from ...envs.observation import KINDS, Kind, inventory_scale
from ...envs.packing import agent_controls, as_action, check_names, check_steps, control_size
from ...envs.single_agent_env import Opponents, check_others
from ..common.joint_market import LearnedPolicy
from .wrappers import check_wrappers

Answer = Callable[[np.ndarray], np.ndarray]
"""an action of an observation, or actions of a batch of them"""
_COPIES = 64
"""of a market, in which the same policies should do the same"""
_SAME = 1e-4
"""control units by which controls may differ by rounding: networks are in single precision"""


class Players(NamedTuple):
    """Everyone's policies in an environment."""

    setting: Setting
    policies: dict[str, Policy]
    learner: str | None
    """in an environment with one"""
    sees: Kind
    """most that any of them is shown"""


def played_setting(env: object) -> Setting:
    """What an environment of this package plays, wrapped or not. Raises ValueError for another, or other wrappers."""
    setting = setting_of(env)
    if setting is None:
        raise ValueError(f"env: expected an environment of makertaker, got {type(env).__name__}")
    check_wrappers(env)
    plain = Setting(setting.game, setting.options, setting.random)  # another library's numbers may be in its observer
    plain.scale = setting.scale
    return plain


def players(
    env: object, setting: Setting, policies: object, *, deterministic: bool, opponents: Mapping[str, Policy] | None
) -> Players:
    """Everyone's policies in an environment, from what a user has.

    Args:
        env: an environment of this package, wrapped or not, with any number of learners.
        setting: what it plays; of random markets one that was drawn.
        policies: by agent; in an environment with one learner also its policy alone.
        deterministic: True: without exploration, where a policy knows the difference.
        opponents: policies of the others where an environment with one learner finds them for every market anew.

    Raises:
        ValueError: an agent has no policy, or a policy does not fit.
    """
    learner, found = _one_learner(env)
    others = found if isinstance(found, Mapping) else _opponents(found, setting, opponents)
    others = {agent: each for agent, each in others.items() if agent != learner}
    given = _by_agent(setting, policies, learner, others)
    check_steps(given, setting.steps)
    shown = _observations(setting)
    made: dict[str, Policy] = {}
    sees: list[Kind] = []
    for agent, policy in given.items():
        if _sees_states(policy):
            drawn = hasattr(policy, "showing") and np.size(setting.observer.context)
            shown_to = policy.showing(setting.observer.context) if drawn else policy
            made[agent] = _Stateful(shown_to, agent, control_size(setting.game, agent))
            sees.append("time" if _open_loop(policy) else getattr(policy, "sees", "full"))
        else:
            act = _Foreign(policy, agent, _sizes(env, setting, agent), deterministic).fitted(shown[agent])
            made[agent] = LearnedPolicy(act, setting, agent)
            sees.append(setting.options.kind)
    return Players(setting, made, learner, max(sees, key=KINDS.index))


def draw_actions(game: Game, policies: Mapping[str, Policy], steps: int) -> bool:
    """True if policies act differently in markets that are the same: they draw their actions, or remember something."""
    start = np.broadcast_to(game.start, (_COPIES, len(game.agents)))
    played = rollout(game, policies, steps, inventories=start)
    return any(_spread(game, agent, played.controls) for agent in game.agents)


def uses_more(setting: Setting, policies: Mapping[str, Policy], information: Kind) -> str | None:
    """An agent that acts on something that actors of this information do not see; None where there is none.

    Policies are asked again along the path that they lead to, with whatever they are not to see drawn anew.
    """
    game, states = setting.game, _states(setting, policies, _COPIES)
    rng = np.random.default_rng(0)
    for agent, policy in policies.items():
        index = game.positions[agent]
        for k, state in enumerate(states):
            asked = np.asarray(policy(k, _hidden_drawn(setting, state, index, information, rng)), dtype=float)
            if np.ptp(asked, axis=0).max() > _SAME * game.control_unit(agent):
                return agent
    return None


def _hidden_drawn(setting: Setting, state: State, index: int, information: Kind, rng: np.random.Generator) -> State:
    """A state in which all that is not seen is drawn anew in every market of the batch."""
    game, quotes = setting.game, np.array(state.quotes)
    inventories = state.inventories + inventory_scale(game) * rng.standard_normal(state.inventories.shape)
    if information != "time":
        inventories[:, index] = state.inventories[:, index]
    drawn = state._replace(inventories=inventories)
    if information == "market" or state.time == 0:
        return drawn
    quotes = quotes + rng.standard_normal(quotes.shape) * (game.control_unit(game.agents[-1]) if game.makers else 0.0)
    price = np.asarray(state.price) + game.price_unit * rng.standard_normal(_COPIES)
    volumes = np.asarray(state.volumes) * rng.uniform(0.5, 1.5, (_COPIES, 2))
    return drawn._replace(quotes=quotes, price=price, volumes=volumes)


def _spread(game: Game, agent: str, controls: Controls) -> bool:
    """True if an agent's controls (B, K, ...) differ between markets by more than rounding."""
    return bool(np.ptp(agent_controls(game, controls, agent), axis=0).max() > _SAME * game.control_unit(agent))


def _open_loop(policy: object) -> bool:
    """True for this package's schedules, and for rules along a private copy of the undisturbed state."""
    return isinstance(policy, OpenLoop) or isinstance(getattr(policy, "shared", None), PrivateCopy)


@dataclass(frozen=True)
class _Stateful:
    """A policy ``(k, state) -> controls``; what goes wrong with a function of two arguments is said in one line."""

    policy: Policy
    agent: str
    size: int
    """numbers of a control"""

    @property
    def remembers(self) -> bool:
        """True if it says that it remembers earlier observations."""
        return bool(getattr(self.policy, "remembers", False))

    def __call__(self, k: int, state: State) -> np.ndarray:
        try:
            asked = self.policy(k, state)
        except (EquilibriumNotFound, ValueError):  # of this package: they say what is wrong
            raise
        except Exception as error:  # whatever anybody's code raises on what it was not made for
            said = " ".join(f"{type(error).__name__}: {error}".split())
            raise ValueError(
                f"{self.agent}: a policy of two arguments is taken for (k, state) -> controls, and fails: {said}"
            ) from error
        return as_action(asked, (*np.shape(state.inventories)[:-1], self.size), self.agent, shared=True)


def _one_learner(env: object) -> tuple[str | None, Opponents]:
    """The learner of an environment with one, and the others' policies, or what makes them for an episode."""
    for each in inner_environments(env):
        agent, others = getattr(each, "agent", None), getattr(each, "others", None)
        if isinstance(agent, str) and isinstance(others, Mapping):
            return agent, getattr(each, "opponents", others)
    return None, {}


def _opponents(
    found: Callable[[Market], Mapping[str, Policy]], setting: Setting, known: Mapping[str, Policy] | None
) -> Mapping[str, Policy]:
    """The others' policies in one market that was drawn; ``known`` are those of its equilibrium."""
    if found is equilibria and known is not None:
        return known
    return found(Market(setting.game, replace(setting.options, context=False)))


def _by_agent(setting: Setting, policies: object, learner: str | None, others: Mapping[str, Policy]) -> dict[str, Any]:
    if isinstance(policies, Mapping):
        given = {**others, **policies}
    elif learner is not None:
        given = {**others, learner: policies}
    else:
        agents = list(setting.game.agents)
        raise ValueError(f"policies: expected one for each of {agents}, by name, got {type(policies).__name__}")
    check_names(setting.game, given)
    if learner is not None:
        check_others(setting.game.agents, learner, given, setting.steps)
    return {agent: given[agent] for agent in setting.game.agents}


def _sees_states(policy: object) -> bool:
    """True for a policy ``(k, state) -> physical controls``: it has to be given two arguments."""
    if not callable(policy) or hasattr(policy, "predict") or _is_module(policy):
        return False
    try:
        parameters = inspect.signature(policy).parameters.values()
    except (TypeError, ValueError):  # a builtin, or something compiled
        return False
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return sum(each.kind in positional and each.default is each.empty for each in parameters) == 2


def _is_module(policy: object) -> bool:
    torch = sys.modules.get("torch")  # where it was never imported nobody has a module of it
    return torch is not None and isinstance(policy, torch.nn.Module)


class _Sizes(NamedTuple):
    """Numbers of entries of one agent's observations and actions, and of what the outermost wrapper shows of them."""

    seen: int
    padded: int
    acted: int
    wide: int
    bounds: np.ndarray | None
    """(2, wide) of actions, where they are known"""


def _sizes(env: object, setting: Setting, agent: str) -> _Sizes:
    """Raises ValueError where a wrapper does more than to fill up with zeros."""
    seen, acted = setting.observer.columns.shape[1], len(setting.scale.bounds(agent)[0])
    spaces = []
    for name, size in (("observation_space", seen), ("action_space", acted)):
        space = getattr(env, name, None)
        if callable(space):
            space = space(agent)
        shape = getattr(getattr(env, f"single_{name}", space), "shape", None)
        if shape is None or len(shape) == 2:  # batched: the libraries do not agree on the name of one market's space
            shape = (size,) if shape is None else shape[1:]
        if len(shape) != 1 or shape[0] < size:
            raise ValueError(
                f"env: expected wrappers that leave {agent}'s {name.replace('_', ' ')} as it is, or fill it up, "
                f"got shape {tuple(shape)} in place of ({size},)"
            )
        spaces.append(int(shape[0]))
    low, high = (np.asarray(getattr(space, name, None)) for name in ("low", "high"))
    bounds = np.stack([low, high]) if low.ndim == 1 and low.shape == high.shape else None
    return _Sizes(seen, spaces[0], acted, spaces[1], bounds)


def _observations(setting: Setting) -> dict[str, np.ndarray]:
    """(K, d) what every agent sees in an episode in which all play the middle of their ranges."""
    agents, steps = setting.game.agents, setting.steps
    means = {agent: np.mean(setting.scale.bounds(agent), axis=0) for agent in agents}
    middle = {agent: OpenLoop(np.tile(mean, (steps, 1))) for agent, mean in means.items()}
    shown = np.concatenate([setting.observer.all(state) for state in _states(setting, middle, 1)])
    return {agent: shown[:, i] for i, agent in enumerate(agents)}


def _states(setting: Setting, policies: Mapping[str, Policy], copies: int) -> list[State]:
    """The states (copies, ...) before every step of an episode without noise."""
    game, states = setting.game, []
    first = game.agents[0]

    def watch(k: int, state: State) -> np.ndarray:
        states.append(state)
        return np.asarray(policies[first](k, state))

    start = np.broadcast_to(game.start, (copies, len(game.agents)))
    rollout(game, {**policies, first: watch}, setting.steps, inventories=start)
    return states


@dataclass
class _Foreign:
    """A policy that knows observations, of whatever kind it is."""

    policy: Any
    agent: str
    sizes: _Sizes
    deterministic: bool

    def fitted(self, shown: np.ndarray) -> Answer:
        """Actions (B, w) of observations (B, d), checked.

        Args:
            shown: (K, d) observations to try it on.

        Raises:
            ValueError: it does not work on observations of this agent, or what it returns are no actions.
        """
        declared = getattr(getattr(self.policy, "observation_space", None), "shape", None)
        if declared is not None and tuple(declared) != (self.sizes.padded,):
            raise ValueError(
                f"{self.agent}: expected a policy for observations of shape ({self.sizes.padded},), got one for "
                f"{tuple(declared)}"
            )
        self._check_actions()
        answer = _answer(self.policy, self.agent, deterministic=self.deterministic)

        def one_by_one(rows: np.ndarray) -> np.ndarray:
            return np.stack([answer(row) for row in rows])

        pair = shown[[0, -1]]
        together, alone = self._tried(answer, pair), self._tried(one_by_one, pair)
        if isinstance(together, ValueError) and isinstance(alone, ValueError):
            raise ValueError(str(together if isinstance(alone, _Failure) else alone)) from None
        if isinstance(together, ValueError):
            chosen: Answer = one_by_one
        else:
            again = self._tried(answer, pair)
            draws = not isinstance(again, np.ndarray) or not np.array_equal(together, again)
            same = isinstance(alone, ValueError) or draws or np.allclose(together, alone, rtol=1e-4, atol=1e-5)
            chosen = answer if same else one_by_one  # otherwise it took the batch for something else
        return lambda seen: self._checked(chosen(self._filled(seen)), len(seen))

    def _check_actions(self) -> None:
        """Raises ValueError for a model whose actions have other bounds than the environment's."""
        declared = getattr(self.policy, "action_space", None)
        low, high = getattr(declared, "low", None), getattr(declared, "high", None)
        if low is None or high is None or self.sizes.bounds is None:
            return
        found = np.stack([low, high])
        if found.shape != self.sizes.bounds.shape or not np.allclose(found, self.sizes.bounds, rtol=1e-5):
            raise ValueError(
                f"{self.agent}: expected a policy for actions between {self.sizes.bounds[0]} and "
                f"{self.sizes.bounds[1]}, got one for actions between {low} and {high}: was it trained in other units?"
            )

    def _tried(self, answer: Answer, rows: np.ndarray) -> np.ndarray | ValueError:
        """Its actions, or what is wrong with it."""
        try:
            found = answer(self._filled(rows.copy()))
        except _Memory as error:
            raise ValueError(str(error)) from None
        except Exception as error:  # whatever anybody's code raises on what it was not made for
            said = " ".join(f"{type(error).__name__}: {error}".split())
            return _Failure(f"{self.agent}: its policy fails on observations of shape ({self.sizes.padded},): {said}")
        try:
            return self._checked(found, len(rows))
        except ValueError as error:
            return error

    def _filled(self, seen: np.ndarray) -> np.ndarray:
        more = self.sizes.padded - self.sizes.seen
        return np.pad(seen, ((0, 0), (0, more))) if more else seen

    def _checked(self, found: np.ndarray, count: int) -> np.ndarray:
        """Actions (count, w) of those that a policy returned, cut where the library fills up."""
        acted, wide = self.sizes.acted, self.sizes.wide
        if found.shape == (count,) and wide == 1:
            found = found[:, None]
        if found.shape in ((count, 1, acted), (count, 1, wide)):  # batches of one
            found = found[:, 0]
        if found.shape not in ((count, acted), (count, wide)):
            single = found.shape[1:] if found.shape[:1] == (count,) else found.shape
            raise ValueError(f"{self.agent}: expected a policy that returns actions of shape ({wide},), got {single}")
        if np.isnan(found).any():
            raise ValueError(f"{self.agent}: expected a policy that returns numbers, got NaN")
        return np.asarray(found[:, :acted])


class _Failure(ValueError):
    """A policy raised an error of its own."""


class _Memory(ValueError):
    """A policy is no function of the observation."""


def _answer(policy: Any, agent: str, *, deterministic: bool) -> Answer:
    """How to ask a policy: arrays in, an array of floats out."""
    if hasattr(policy, "predict"):
        try:
            known = "deterministic" in inspect.signature(policy.predict).parameters
        except (TypeError, ValueError):
            known = False
        options = {"deterministic": deterministic} if known else {}

        def predict(seen: np.ndarray) -> np.ndarray:
            found = policy.predict(seen, **options)
            if isinstance(found, tuple) and len(found) > 1 and found[1] is not None and known:
                raise _Memory(f"{agent}: expected a policy without a memory, got one whose predict returns a state")
            return _array(found, deterministic=deterministic)

        return predict
    if not callable(policy):
        raise ValueError(f"policies: expected a callable or an object with predict, got {policy!r}")
    if _is_module(policy):
        return _module_answer(policy, deterministic=deterministic)
    return lambda seen: _array(policy(seen), deterministic=deterministic)


def _module_answer(module: Any, *, deterministic: bool) -> Answer:
    """The same of a torch module; tensors in its own dtype, on its own device."""
    torch = sys.modules["torch"]
    weight = next(module.parameters(), torch.zeros(()))

    def answer(seen: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return _array(module(torch.as_tensor(seen, dtype=weight.dtype, device=weight.device)), deterministic)

    return answer


def _array(found: Any, deterministic: bool) -> np.ndarray:
    """An array of floats from actions, from a tuple of numbers or whose first entry they are, or a distribution."""
    if isinstance(found, tuple):
        found = list(found) if all(np.ndim(each) == 0 and each is not None for each in found) else found[0]
    if hasattr(found, "sample") and hasattr(found, "mean"):
        found = found.mean if deterministic else found.sample()
    if hasattr(found, "detach"):
        found = found.detach().cpu().numpy()
    return np.asarray(found, dtype=float)
