"""The same policy through PettingZoo, the VecEnv, TorchRL and JAX earns the same payoffs; TorchRL's own checks pass."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("torchrl")
from tensordict.nn import TensorDictModule, TensorDictSequential  # noqa: E402
from torchrl.envs import PettingZooWrapper, check_env_specs  # noqa: E402

from makertaker.baselines import solve  # noqa: E402
from makertaker.envs import Controls, load_scenario, rollout, simulate  # noqa: E402
from makertaker.envs.grid import State, agent_controls  # noqa: E402
from makertaker.envs.parallel_env import GameParallelEnv  # noqa: E402
from makertaker.envs.roles import RoleView  # noqa: E402
from makertaker.envs.torchrl_env import ActorPolicy, TorchMarket  # noqa: E402
from support.arrays import jax_precision  # noqa: E402

STEPS = 8
NAMES = ("acas", "maker-taker-3x3", "execution-2", "execution-signal", "approximation")


SETTINGS: list[dict[str, Any]] = [
    {},
    {"normalize": True, "observation": "market", "identity": True},
    {"normalize": False, "reward": "wealth", "observation": "own"},
]
both_units = pytest.mark.parametrize("normalize", [True, None], ids=["normalised", "units"])
"""actions in [-1, 1] and rewards in currency, or both in the game's units"""


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
@pytest.mark.parametrize("name", NAMES)
def test_torchrl_checks_its_specs(name: str, settings: dict[str, Any]) -> None:
    game = load_scenario(name)
    env = TorchMarket(game, 4, steps=STEPS, seed=0, **settings)
    check_env_specs(env)
    played = env.rollout(2 * STEPS)
    assert played.batch_size == (4, STEPS)  # everything ends at the horizon
    assert played["next", "trader", "reward"].shape == (4, STEPS, game.traders, 1)
    assert not played["next", "done"][:, :-1].any()


def test_seeds_and_arguments() -> None:
    game = load_scenario("approximation")

    def end(seed: int) -> Any:
        env = TorchMarket(game, 3, steps=STEPS, seed=seed)
        state = env.reset()
        for _ in range(STEPS):
            state = env.step(state.update(env.full_action_spec.zero()))["next"]
        return state["inventories"]

    assert torch.equal(end(1), end(1))
    assert not torch.equal(end(1), end(2))
    with pytest.raises(ValueError, match="num_envs: expected a positive whole number, got 0"):
        TorchMarket(game, 0)


def test_the_pettingzoo_route() -> None:
    """TorchRL's wrapper of the PettingZoo environment: agents grouped by role under its own rule."""
    groups = {"traders": ["trader_0"], "makers": ["maker_0", "maker_1"]}
    env = PettingZooWrapper(GameParallelEnv(load_scenario("acas"), steps=STEPS), group_map=groups)
    played = env.rollout(STEPS)
    assert played["next", "makers", "reward"].shape == (STEPS, 2, 1)


def _actions(game: Any, controls: Controls, normalize: bool | None) -> dict[str, np.ndarray]:
    """Actions by role of a profile of schedules, (K, N, 1) and (K, M, 2)."""
    found = RoleView(game, STEPS, normalize=normalize).scale.actions(controls)
    parts = {"trader": found.rate[..., None], "maker": np.stack([found.ask, found.bid], axis=-1)}
    return {role: each for role, each in parts.items() if each.shape[-2]}


def _reward_units(game: Any, normalize: bool | None) -> np.ndarray:
    """(n,) units of rewards, in currency."""
    return np.array([game.payoff_unit(name) if normalize is None else 1.0 for name in game.agents])


@both_units
@pytest.mark.parametrize("name", ["acas", "maker-taker-softmax", "dealers"])
def test_every_route_pays_the_same(name: str, normalize: bool | None) -> None:
    """The equilibrium's schedules as actions: to 1e-9 in double precision, to 1e-4 in single."""
    game = load_scenario(name)
    nash = solve(game, STEPS)
    actions, n, split = _actions(game, nash.controls, normalize), len(game.agents), game.traders
    units, options = _reward_units(game, normalize), {"steps": STEPS, "normalize": normalize}
    routes: dict[str, tuple[np.ndarray, float]] = {"NumPy": (simulate(game, nash.controls, STEPS).payoffs, 1e-9)}

    env = GameParallelEnv(game, **options)
    env.reset()
    total = np.zeros(n)
    for k in range(STEPS):
        taken = [action for each in actions.values() for action in each[k]]
        total += list(env.step(dict(zip(game.agents, taken, strict=True)))[1].values())
    routes["PettingZoo"] = total * units, 1e-9

    for dtype, tolerance in ((torch.float64, 1e-9), (torch.float32, 1e-4)):
        batch = TorchMarket(game, 3, dtype=dtype, **options)
        state, earned = batch.reset(), torch.zeros(3, n, dtype=dtype)
        for k in range(STEPS):
            for role in batch.view.names:
                state[role, "action"] = torch.as_tensor(actions[role][k], dtype=dtype).expand(3, -1, -1)
            state = batch.step(state)["next"]
            earned += torch.cat([state[role, "reward"][..., 0] for role in batch.view.names], dim=-1)
        routes[f"TorchRL {dtype}"] = earned[1].numpy() * units, tolerance

    jax = pytest.importorskip("jax")
    from makertaker.envs.jax_env import JaxMarket

    for double, tolerance in ((True, 1e-9), (False, 1e-4)):
        with jax_precision(double):
            market = JaxMarket(game, **options)
            params, key = market.default_params, jax.random.key(0)
            _, inside = market.reset(key, params)
            step, gained = jax.jit(market.step_env), np.zeros(n)
            for k in range(STEPS):
                chosen = {role: jax.numpy.asarray(each[k]) for role, each in actions.items()}
                _, inside, rewards, _, _ = step(key, inside, chosen, params)
                gained += np.concatenate([np.asarray(rewards[role]) for role in market.roles])
        routes[f"JAX {double}"] = gained * units, tolerance

    pytest.importorskip("stable_baselines3")
    from makertaker.training import MarketVecEnv

    for index, agent in enumerate(game.agents):
        vec = MarketVecEnv(game, 2, agent, {k: v for k, v in nash.open_loop().items() if k != agent}, **options)
        vec.reset()
        role, place = ("trader", index) if index < split else ("maker", index - split)
        own = sum(vec.step(np.tile(actions[role][k, place], (2, 1)))[1][0] for k in range(STEPS))
        assert own * units[index] == pytest.approx(nash.payoffs[index], rel=1e-4)
    for route, (payoffs, tolerance) in routes.items():
        np.testing.assert_allclose(payoffs, nash.payoffs, rtol=tolerance, err_msg=route)


class Reactive:
    """An affine feedback rule on what a full observation shows: the time, every inventory, the market, the last quotes.

    Its inputs are computed here from the physical state, not by the package's observer; arrays may have batch axes. The
    price has no martingale part, so that what is earned does not depend on how a library draws it.
    """

    def __init__(self, game: Any) -> None:
        low, high = game.action_range()
        n, rng = game.traders, np.random.default_rng(3)
        self.game = game
        self._quotes = [np.stack([each.ask, each.bid]) for each in (low, high)]
        self._ends = [
            [each.rate[i : i + 1] if i < n else np.array([each.ask[i - n], each.bid[i - n]]) for each in (low, high)]
            for i in range(len(game.agents))
        ]
        size = 1 + len(game.agents) + (5 if game.makers else 3) + 2 * game.makers
        self._gain = [rng.normal(0.0, 0.1, (size, len(low))) for low, _ in self._ends]
        self._offset = [rng.uniform(-0.2, 0.2, len(low)) for low, _ in self._ends]

    def seen(self, agent: int, k: int, state: Any) -> np.ndarray:
        """The observation (..., size) in double precision: time, own inventory, best quotes, price, volumes, others'
        inventories, asks and bids."""
        inventories, quotes, price, volumes = (
            np.asarray(each, dtype=float) for each in (state.inventories, state.quotes, state.price, state.volumes)
        )
        game, q = self.game, inventories / np.abs(self.game.start).max()
        low, high = self._quotes
        shown = 2 * (quotes - low) / (high - low) - 1
        best = shown.min(axis=-1) if game.makers else shown[..., 0, :]  # everybody has one range
        moved = (price - game.initial_price)[..., None] / game.price_unit
        market = np.concatenate([best, moved, volumes * STEPS / game.volume_unit], axis=-1)
        time = np.full((*q.shape[:-1], 1), k / STEPS)
        others = np.delete(q, agent, axis=-1)
        every = (k > 0) * shown.reshape(*q.shape[:-1], -1)
        return np.concatenate([time, q[..., [agent]], (k > 0) * market, others, every], axis=-1)

    def act(self, agent: int, seen: Any, normalize: bool | None = True) -> np.ndarray:
        """One agent's action, (..., 1) or (..., 2), on its observation: in [-1, 1], or in control units."""
        action: np.ndarray = np.asarray(seen, dtype=float) @ self._gain[agent] + self._offset[agent]
        if normalize:
            return action
        low, high = self._ends[agent]
        return action * (high - low) / 2 / self.game.control_unit(self.game.agents[agent])

    def actions(self, k: int, state: Any, normalize: bool | None = True) -> list[np.ndarray]:
        """Everybody's actions in the state."""
        return [self.act(i, self.seen(i, k, state), normalize) for i in range(len(self.game.agents))]

    def policies(self) -> dict[str, Any]:
        """The same as policies: physical controls within the action range."""

        def of(agent: int) -> Any:
            def play(k: int, state: Any) -> np.ndarray:
                action = self.act(agent, self.seen(agent, k, state))
                low, high = self._ends[agent]
                return np.asarray(low + (high - low) * (np.clip(action, -1, 1) + 1) / 2)

            return play

        return {name: of(i) for i, name in enumerate(self.game.agents)}


REACTIVE = ("acas", "maker-taker-softmax", "execution-2", "dealers")
"""one trader and two makers; two traders and three makers who share by softmax; two traders and nobody who quotes"""


@pytest.fixture(params=REACTIVE)
def reactive(request: pytest.FixtureRequest) -> tuple[Reactive, np.ndarray]:
    """The rule in a game, and what it earns in simulation; everybody's controls react to somebody's inventory, and
    nothing that is seen is clipped."""
    rule = Reactive(replace(load_scenario(request.param), volatility=0.0))
    played = rollout(rule.game, rule.policies(), STEPS)
    start = rule.game.start + 0.5 * np.eye(len(rule.game.agents))[0]
    other = rollout(rule.game, rule.policies(), STEPS, inventories=start).controls
    assert all(np.abs(a - b).max(axis=-2).min() > 1e-4 for a, b in zip(other, played.controls, strict=True) if a.size)
    volumes = np.stack([played.activity.buy_volume, played.activity.sell_volume]) / rule.game.volume_unit
    assert max(np.abs(played.inventories / np.abs(rule.game.start).max()).max(), volumes.max()) < 10
    return rule, simulate(rule.game, played.controls, STEPS).payoffs


@both_units
def test_reactive_pettingzoo(reactive: tuple[Reactive, np.ndarray], normalize: bool | None) -> None:
    """From the state to 1e-9; from the observations, which are single precision, to 1e-4."""
    rule, payoffs = reactive
    game = rule.game
    env = GameParallelEnv(game, steps=STEPS, normalize=normalize)
    for source, tolerance in (("state", 1e-9), ("observations", 1e-4)):
        seen, _ = env.reset()
        total = np.zeros(len(game.agents))
        for k in range(STEPS):
            actions = rule.actions(k, env.market.state, normalize)
            if source == "observations":
                actions = [rule.act(i, seen[name], normalize) for i, name in enumerate(game.agents)]
            seen, rewards, *_ = env.step(dict(zip(game.agents, actions, strict=True)))
            total += list(rewards.values())
        total *= _reward_units(game, normalize)
        np.testing.assert_allclose(total, payoffs, rtol=tolerance, err_msg=source)


@both_units
def test_reactive_vec_env(reactive: tuple[Reactive, np.ndarray], normalize: bool | None) -> None:
    """Each agent in turn acts on its observations, the others follow the policy; all in single precision."""
    pytest.importorskip("stable_baselines3")
    from makertaker.training import MarketVecEnv

    rule, payoffs = reactive
    policies = rule.policies()
    for index, agent in enumerate(rule.game.agents):
        others = {name: each for name, each in policies.items() if name != agent}
        vec = MarketVecEnv(rule.game, 3, agent, others, steps=STEPS, normalize=normalize)
        seen, total = vec.reset(), np.zeros(3)
        for _ in range(STEPS):
            seen, rewards, _, _ = vec.step(rule.act(index, seen, normalize))
            total += rewards
        total *= _reward_units(rule.game, normalize)[index]
        np.testing.assert_allclose(total, payoffs[index], rtol=1e-4, err_msg=agent)


FORCED: list[tuple[dict[str, Any], bool, bool]] = [  # actions in [-1, 1] or in control units, rewards in payoff units
    ({"normalize": True}, True, False),
    ({}, False, True),
    ({"normalize": True, "control_units": True, "payoff_units": True}, False, True),
    ({"control_units": False, "payoff_units": False}, True, False),
    ({"control_units": False}, True, True),
]


@pytest.mark.parametrize(("settings", "normalized", "in_units"), FORCED, ids=str)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-9), (torch.float32, 1e-4)], ids=str)
def test_reactive_torchrl(
    reactive: tuple[Reactive, np.ndarray],
    dtype: Any,
    tolerance: float,
    settings: dict[str, Any],
    normalized: bool,
    in_units: bool,
) -> None:
    """Acting on observations, in the action range's units or the game's; rewards in currency or in the game's units."""
    rule, payoffs = reactive
    game, split = rule.game, rule.game.traders
    env = TorchMarket(game, 3, steps=STEPS, dtype=dtype, **settings)
    payoff_unit = _reward_units(game, None if in_units else True)

    def act(state: Any) -> Any:
        for role in env.view.names:
            first, count = (0, split) if role == "trader" else (split, game.makers)
            own = [rule.act(first + j, state[role, "observation"][..., j, :], normalized) for j in range(count)]
            state[role, "action"] = torch.as_tensor(np.stack(own, axis=-2), dtype=dtype)
        return state

    state, earned = env.reset(), np.zeros((3, len(payoffs)))
    for _ in range(STEPS):
        state = env.step(act(state))["next"]
        rewards = torch.cat([state[role, "reward"][..., 0] for role in env.view.names], dim=-1)
        earned += rewards.numpy() * payoff_unit
    assert state["done"].all()
    np.testing.assert_allclose(earned, np.tile(payoffs, (3, 1)), rtol=tolerance)
    again = rollout(game, env.policies(act), STEPS)  # and back: the module as policies
    np.testing.assert_allclose(again.payoffs, payoffs, rtol=tolerance)


@both_units
@pytest.mark.parametrize("double", [True, False], ids=["float64", "float32"])
def test_reactive_jax(reactive: tuple[Reactive, np.ndarray], double: bool, normalize: bool | None) -> None:
    """From the state to 1e-9 in double precision; from the observations to 1e-4."""
    jax = pytest.importorskip("jax")
    from makertaker.envs.jax_env import JaxMarket

    rule, payoffs = reactive
    split = rule.game.traders
    with jax_precision(double):
        market, key = JaxMarket(rule.game, steps=STEPS, normalize=normalize), jax.random.key(0)
        params, step = market.default_params, jax.jit(market.step_env)
        for source, tolerance in (("state", 1e-9 if double else 1e-4), ("observations", 1e-4)):
            seen, inside = market.reset(key, params)
            total = np.zeros(len(rule.game.agents))
            for k in range(STEPS):
                actions = rule.actions(k, inside, normalize)
                if source == "observations":
                    listed = np.concatenate([np.asarray(seen[role]) for role in market.roles])
                    actions = [rule.act(i, each, normalize) for i, each in enumerate(listed)]
                parts = {"trader": actions[:split], "maker": actions[split:]}
                chosen = {role: jax.numpy.asarray(np.stack(parts[role])) for role in market.roles}
                seen, inside, rewards, _, _ = step(key, inside, chosen, params)
                total += np.concatenate([np.asarray(rewards[role]) for role in market.roles])
            total *= _reward_units(rule.game, normalize)
            np.testing.assert_allclose(total, payoffs, rtol=tolerance, err_msg=source)


@pytest.mark.parametrize("name", ["acas", "execution-2"])
def test_only_all_markets_are_reset(name: str) -> None:
    """Markets have a common clock: a reset of some of them is refused, one of all starts again."""
    env = TorchMarket(load_scenario(name), 3, steps=STEPS)
    state = env.rollout(2)[:, -1]["next"].clone()
    some = torch.tensor([[True], [False], [True]])
    with pytest.raises(ValueError, match="_reset: markets have a common clock, expected a reset of all 3, got 2"):
        env.reset(state.clone().set("_reset", some))
    again = env.reset(state.set("_reset", torch.ones(3, 1, dtype=torch.bool)))
    assert torch.equal(again["inventories"], env.reset()["inventories"])
    assert not again["k"].any()
    with pytest.raises(ValueError, match="control_units: expected normalize=True with it"):
        TorchMarket(env.game, 1, normalize=False, control_units=True)


def test_recurrent_actors_are_given_what_they_wrote() -> None:
    """An actor that counts the steps of an episode, and trades by their number."""
    env = TorchMarket("execution-2", steps=STEPS, control_units=True)

    def act(state: Any) -> Any:
        count = torch.zeros(*state.batch_size, 1) if state["is_init"].all() else state["count"] + 1
        state["trader", "action"] = count[..., None].expand(*state.batch_size, 2, 1)
        state["next", "count"] = count
        return state

    policies, middle = env.policies(act), np.mean([each.rate for each in env.game.action_range()], axis=0)
    expected = middle + np.arange(STEPS)[:, None] * env.game.control_unit("trader_0")
    start = np.broadcast_to(env.game.start, (3, 2, 2))
    for inventories in (start, start[0], start[0, 0]):  # each begins anew
        rates = rollout(env.game, policies, STEPS, inventories=inventories).controls.rate
        np.testing.assert_allclose(rates, np.broadcast_to(expected, rates.shape), rtol=1e-5)
    with pytest.raises(ValueError, match="trader_0: its policy remembers one batch of markets from the first step on"):
        rollout(env.game, policies, STEPS, first=2)


@pytest.mark.parametrize("name", ["approximation", "execution-signal", "maker-taker-3x3"])
def test_policies_of_an_actor_see_what_the_environment_shows(name: str) -> None:
    """With a factor and noise: in every state of a batch of markets the policies play what the actor plays there."""
    env = TorchMarket(load_scenario(name), 3, steps=STEPS, dtype=torch.float64, seed=1, identity=True)
    game, rng = env.game, torch.Generator().manual_seed(0)
    gain = {role: torch.randn(env.view.size, env.view.action_size(role), generator=rng) for role in env.view.names}

    def act(state: Any) -> Any:
        for role in env.view.names:
            state[role, "action"] = state[role, "observation"] @ gain[role].double()
        return state

    played = env.rollout(STEPS)
    policies = env.policies(act)
    for k in (0, 1, STEPS - 1):
        state = played[:, k].clone()
        expected = env.controls(act(state))
        factor = None if game.factor is None else state["factor"].numpy()
        inventories, quotes, volumes = (state[name].numpy() for name in ("inventories", "quotes", "volumes"))
        price = state["price"][..., 0].numpy()
        shown = State(float(env.view.times[k]), factor, inventories, quotes, price=price, volumes=volumes)
        for agent in game.agents:
            own = agent_controls(game, Controls(*(each.numpy() for each in expected)), agent)
            np.testing.assert_allclose(policies[agent](k, shown), own, rtol=1e-12, atol=1e-12)
    with pytest.raises(ValueError, match=r"unknown agent .*expected one of"):
        ActorPolicy(env, act, "maker_9")


@pytest.mark.parametrize("groups", ["role", "agent"])
def test_a_policy_asks_its_own_group_alone(groups: Any) -> None:
    """Of an actor that is a sequence of modules; a module that another needs is asked as well."""
    env = TorchMarket("maker-taker-3x3", steps=STEPS, dtype=torch.float64, groups=groups)
    asked: list[str] = []

    def module(group: str, width: int) -> TensorDictSequential:
        def seen(observation: torch.Tensor) -> torch.Tensor:
            asked.append(group)
            return observation.sum(-1, keepdim=True)

        def answer(total: torch.Tensor) -> torch.Tensor:
            return torch.tanh(total) * torch.ones(width, dtype=torch.float64)

        first = TensorDictModule(seen, in_keys=[(group, "observation")], out_keys=[(group, "sum")])
        return TensorDictSequential(first, TensorDictModule(answer, [(group, "sum")], [(group, "action")]))

    widths = {group: 1 if group.startswith("trader") else 2 for group in env.group_map}
    actor = TensorDictSequential(*(module(*each) for each in widths.items()))
    for agent, policy in env.policies(actor).items():
        asked.clear()
        state = State(0.0, None, env.game.start, np.zeros((2, 3)), price=np.array(100.0), volumes=np.zeros(2))
        found = policy(0, state)
        assert asked == [next(group for group, agents in env.group_map.items() if agent in agents)]
        np.testing.assert_array_equal(found, ActorPolicy(env, lambda data: actor(data), agent)(0, state))


def test_random_actions_fill_the_range() -> None:
    """Drawn by the environment itself, within the specification's bounds and up to them; also from nothing."""
    env = TorchMarket(load_scenario("maker-taker-3x3"), 400, steps=STEPS)
    drawn = env.rand_action()
    assert env.full_action_spec.is_in(drawn.select(*env.view.names))
    for role in env.view.names:
        action, high = drawn[role, "action"], env.full_action_spec[role, "action"].space.high
        assert ((action / high).amax(dim=0) > 0.95).all()
        assert ((action / high).amin(dim=0) < -0.95).all()
        assert action.shape == high.shape


@pytest.mark.parametrize("name", ["acas", "maker-taker-3x3", "execution-2"])
def test_a_group_for_each_agent(name: str) -> None:
    """The same market with every agent a group of its own: the same actions lead to the same entries."""
    options: dict[str, Any] = {"steps": STEPS, "state": True}
    roles, alone = (TorchMarket(load_scenario(name), 3, groups=each, **options) for each in ("role", "agent"))
    check_env_specs(alone)
    for each in (roles, alone):  # again: the check has played
        each.set_seed(1)
    assert alone.group_map == {agent: [agent] for agent in alone.game.agents}
    assert [agent for agents in roles.group_map.values() for agent in agents] == list(roles.game.agents)
    together, apart = roles.reset(), alone.reset()
    for _ in range(STEPS):
        together, apart = roles.rand_action(together), apart.clone()
        for role, agents in roles.group_map.items():
            for j, agent in enumerate(agents):
                apart[agent, "action"] = together[role, "action"][:, j : j + 1]
        together, apart = roles.step(together)["next"], alone.step(apart)["next"]
        assert torch.equal(together["state"], apart["state"])
        for role, agents in roles.group_map.items():
            for entry in ("observation", "reward"):
                side_by_side = torch.cat([apart[agent, entry] for agent in agents], dim=1)
                assert torch.equal(together[role, entry], side_by_side)
    with pytest.raises(ValueError, match="groups: expected 'role' or 'agent', got 'all'"):
        TorchMarket(load_scenario(name), groups="all")  # type: ignore[arg-type]
