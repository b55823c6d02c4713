"""The same policy through PettingZoo, the VecEnv, TorchRL and JAX earns the same payoffs; TorchRL's own checks pass."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("torchrl")
from torchrl.envs import PettingZooWrapper, check_env_specs  # noqa: E402

from makertaker.baselines import solve  # noqa: E402
from makertaker.envs import Controls, load_scenario, simulate  # noqa: E402
from makertaker.envs.parallel_env import GameParallelEnv  # noqa: E402
from makertaker.envs.roles import RoleView  # noqa: E402
from makertaker.envs.torchrl_env import TorchMarket  # noqa: E402

STEPS = 8
NAMES = ("acas", "maker-taker-3x3", "execution-2", "execution-signal", "approximation")


@pytest.mark.parametrize("settings", [{}, {"normalize": False, "reward": "wealth", "observation": "own"}], ids=str)
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


def _normal(game: Any, controls: Controls) -> dict[str, np.ndarray]:
    """Normalised actions by role of a profile of schedules, (K, N, 1) and (K, M, 2)."""
    normal = RoleView(game, STEPS).scale.normal(controls)
    return {"trader": normal.rate[..., None], "maker": np.stack([normal.ask, normal.bid], axis=-1)}


@pytest.mark.parametrize("name", ["acas", "maker-taker-softmax"])
def test_every_route_pays_the_same(name: str) -> None:
    """The equilibrium's schedules as actions: to 1e-9 in double precision, to 1e-4 in single."""
    game = load_scenario(name)
    nash = solve(game, STEPS)
    actions, n, split = _normal(game, nash.controls), len(game.agents), game.traders
    routes: dict[str, tuple[np.ndarray, float]] = {"NumPy": (simulate(game, nash.controls, STEPS).payoffs, 1e-9)}

    env = GameParallelEnv(game, steps=STEPS)
    env.reset()
    total = np.zeros(n)
    for k in range(STEPS):
        taken = [*actions["trader"][k], *actions["maker"][k]]
        total += list(env.step(dict(zip(game.agents, taken, strict=True)))[1].values())
    routes["PettingZoo"] = total, 1e-9

    for dtype, tolerance in ((torch.float64, 1e-9), (torch.float32, 1e-4)):
        batch = TorchMarket(game, 3, steps=STEPS, dtype=dtype)
        state, earned = batch.reset(), torch.zeros(3, n, dtype=dtype)
        for k in range(STEPS):
            for role in batch.view.names:
                state[role, "action"] = torch.as_tensor(actions[role][k], dtype=dtype).expand(3, -1, -1)
            state = batch.step(state)["next"]
            earned += torch.cat([state[role, "reward"][..., 0] for role in batch.view.names], dim=-1)
        routes[f"TorchRL {dtype}"] = earned[1].numpy(), tolerance

    jax = pytest.importorskip("jax")
    from makertaker.envs.jax_env import JaxMarket

    before = jax.config.jax_enable_x64
    for double, tolerance in ((True, 1e-9), (False, 1e-4)):
        jax.config.update("jax_enable_x64", double)
        market = JaxMarket(game, steps=STEPS)
        params, key = market.default_params, jax.random.key(0)
        _, inside = market.reset(key, params)
        gained = np.zeros(n)
        for k in range(STEPS):
            chosen = {role: jax.numpy.asarray(each[k]) for role, each in actions.items()}
            _, inside, rewards, _, _ = market.step_env(key, inside, chosen, params)
            gained += np.concatenate([np.asarray(rewards[role]) for role in market.roles])
        routes[f"JAX {double}"] = gained, tolerance
    jax.config.update("jax_enable_x64", before)

    pytest.importorskip("stable_baselines3")
    from makertaker.training import MarketVecEnv

    for index, agent in enumerate(game.agents):
        vec = MarketVecEnv(game, 2, agent, {k: v for k, v in nash.open_loop().items() if k != agent}, steps=STEPS)
        vec.reset()
        role, place = ("trader", index) if index < split else ("maker", index - split)
        own = sum(vec.step(np.tile(actions[role][k, place], (2, 1)))[1][0] for k in range(STEPS))
        assert own == pytest.approx(nash.payoffs[index], rel=1e-4)
    for route, (payoffs, tolerance) in routes.items():
        np.testing.assert_allclose(payoffs, nash.payoffs, rtol=tolerance, err_msg=route)
