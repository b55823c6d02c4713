"""``score`` where traders must liquidate: what is scored is what is played, truncated rates included."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from makertaker.baselines import exploitability, solve
from makertaker.envs import Controls, execution_v0, load_scenario, maker_taker_v0, read_scenario
from makertaker.training import score
from makertaker.training.run_config import RunConfig

GAMES = {
    "execution": (execution_v0, replace(load_scenario("execution-2"), terminal_penalty=(math.inf, 2.0))),
    "published": (execution_v0, load_scenario("almgren-chriss-2")),
    "makers": (maker_taker_v0, replace(load_scenario("acas"), trader_terminal_penalty=math.inf, max_rate=9.0)),
}
STEPS = 6


@pytest.mark.parametrize("units", [{}, {"units": "currency"}, {"normalize": True}], ids=str)
@pytest.mark.parametrize("observation", ["time", "own"])
@pytest.mark.parametrize("name", GAMES)
def test_scores(name, observation, units):
    module, game = GAMES[name]
    env = module.parallel_env(game, steps=STEPS, observation=observation, **units)
    nash = solve(game, STEPS)
    found = score(env, nash.open_loop())
    assert found.relative_nash_conv < 1e-8
    # nobody acts: the last step closes all the same
    actions = {agent: np.zeros(env.action_space(agent).shape) for agent in game.agents}
    idle = score(env, {agent: lambda seen, own=own: own for agent, own in actions.items()})
    env.reset(seed=0)
    played, info = [], {}
    for _ in range(STEPS):
        played.append(env.market.controls_from(actions))
        info = env.step(actions)[-1]
        played[-1] = played[-1]._replace(rate=env.market.rate)
    assert all(abs(info[f"trader_{i}"]["inventory"]) < 1e-10 for i in np.flatnonzero(game.closing))
    schedule = Controls(*(np.stack(each) for each in zip(*played, strict=True)))
    expected = exploitability(game, schedule, STEPS)
    assert idle.nash_conv == pytest.approx(expected.nash_conv, rel=1e-5)
    payoffs = [idle.agents[agent].payoff for agent in game.agents]
    np.testing.assert_allclose(payoffs, expected.payoffs, rtol=1e-6)


def test_configurations_are_json():
    scenario = read_scenario("acas", ["trader_terminal_penalty=inf"])
    config = RunConfig.of(scenario, "ppo", 5, "sb3")
    assert json.loads(json.dumps(config.values, allow_nan=False))["trader_terminal_penalty"] == "inf"
    assert config.task.game == scenario.game
