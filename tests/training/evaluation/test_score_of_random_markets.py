"""``score`` in random markets: the mean over draws, each against its own equilibrium, with standard errors."""

import gymnasium
import numpy as np
import pytest

from makertaker.baselines import best_response, solve
from makertaker.envs import Choice, Uniform, acas_v0, load_scenario
from makertaker.training import evaluate, score
from support.env_markets import in_currency

STEPS = 5
RANDOM = {"trader_inventory": Choice([[-5.0], [-3.0]]), "competition.gamma": Choice([0.8, 1.0])}


def make(**options):
    return acas_v0.parallel_env(random=RANDOM, steps=STEPS, observation="time", context=True, **options)


def steady(env):
    """Agents that act on what was drawn."""

    def act(size):
        return lambda seen: np.stack([0.5 * seen[..., 1] + 0.1 * i - 0.2 * seen[..., 2] for i in range(size)], axis=-1)

    return {agent: act(env.action_space(agent).shape[0]) for agent in env.possible_agents}


def test_a_score_of_random_markets_is_that_from_their_own_starts():
    plain, wide = (score(env, steady(env), draws=2) for env in (make(), make(inventory_spread=1.0)))
    assert wide.metrics == plain.metrics
    assert any("without the environment's inventory_spread" in note for note in wide.notes)
    assert not any("inventory_spread" in note for note in plain.notes)


def test_a_score_is_the_mean_over_markets_each_played_by_hand():
    """Payoffs and best responses in each of the four games that may be drawn."""
    env = make()
    found = score(env, steady(env), draws=12, seed=3)
    assert len(found.draws) == 12
    by_hand = {}
    for seed in range(40):
        observations, _ = env.reset(seed=seed)
        (game,) = env.market.games()
        total, done, rates = 0.0, False, []
        while not done:
            acted = {agent: act(observations[agent]) for agent, act in steady(env).items()}
            rates.append(env.controls_from(acted))
            observations, rewards, ends, _, _ = env.step(acted)
            total, done = total + np.array(list(rewards.values())), all(ends.values())
        controls = type(rates[0])(*(np.stack(each) for each in zip(*rates, strict=True)))
        gains = [best_response(game, controls, agent, STEPS).gain for agent in game.agents]
        by_hand[game] = in_currency(env, total), gains, solve(game, STEPS).payoffs
    assert len(by_hand) == 4
    rows = [by_hand[each.equilibrium.game] for each in found.draws]
    payoffs, gains, equilibria = (np.array(each) for each in zip(*rows, strict=True))
    for i, each in enumerate(found.agents.values()):
        assert each.payoff == pytest.approx(payoffs[:, i].mean(), rel=1e-10)
        assert each.learned_se == pytest.approx(payoffs[:, i].std(ddof=1) / 12**0.5, rel=1e-9)
        assert each.exploitability == pytest.approx(gains[:, i].mean(), rel=1e-6)
        assert each.equilibrium == pytest.approx(equilibria[:, i].mean(), rel=1e-9)
        assert each.gap == pytest.approx((payoffs - equilibria)[:, i].mean(), rel=1e-9)
    conv, size = gains.sum(axis=1), np.abs(equilibria).sum(axis=1)
    assert found.nash_conv_se == pytest.approx(conv.std(ddof=1) / 12**0.5, rel=1e-6)
    assert found.relative_nash_conv == pytest.approx(conv.mean() / size.mean(), rel=1e-6)
    spread = (conv - found.relative_nash_conv * size).std(ddof=1)
    assert found.relative_nash_conv_se == pytest.approx(spread / 12**0.5 / size.mean(), rel=1e-6)
    assert found.exact
    assert "means over 12 drawn markets" in str(found)
    assert " +- " in str(found)
    assert found.to_dict()["nash_conv_se"] == found.nash_conv_se


def test_the_standard_error_is_that_of_means():
    """Means of scores on other seeds scatter as each says of itself."""
    env = acas_v0.parallel_env(random={"trader_inventory": Uniform([-8.0], [-2.0])}, steps=3, observation="time")
    still = {
        agent: lambda seen, w=1 + (i > 0): np.zeros((*seen.shape[:-1], w))
        for i, agent in enumerate(env.possible_agents)
    }
    found = [score(env, still, draws=16, seed=seed) for seed in range(12)]
    scatter = np.std([each.relative_nash_conv for each in found], ddof=1)
    said = np.mean([each.relative_nash_conv_se for each in found])
    assert 0.5 < scatter / said < 2.0


def test_equilibrium_schedules_of_every_market_score_zero():
    env = make()

    def table(agent):
        """What the agent's observation tells: time, and the game, whose schedule it plays."""
        schedules = {}
        for q in (-5.0, -3.0):
            for gamma in (0.8, 1.0):
                given = {"trader_inventory": (q,), "competition": {"gamma": gamma}}
                game = acas_v0.parallel_env(steps=STEPS, **given).game
                acts = [env.actions_from(type(each)(*each)) for each in rows(solve(game, STEPS).controls)]
                schedules[q, gamma] = np.array([each[agent] for each in acts])

        def act(seen):
            k, (first, second) = round(float(seen[0]) * STEPS), seen[1:3] > 0
            return schedules[-3.0 if first else -5.0, 1.0 if second else 0.8][k]

        return act

    found = score(env, {agent: table(agent) for agent in env.possible_agents}, draws=6)
    assert found.relative_nash_conv == pytest.approx(0.0, abs=1e-9)
    assert found.relative_nash_conv_se < 1e-9


def rows(controls):
    return [type(controls)(*(each[k] for each in controls)) for k in range(STEPS)]


def test_one_learner_meets_each_market_s_equilibrium():
    env = gymnasium.make("makertaker/Acas-v0", agent="maker_0", random=RANDOM, steps=STEPS, observation="time")
    found = score(env, lambda seen: np.zeros((*np.shape(seen)[:-1], 2)), draws=4)
    for each in found.draws:
        alone = best_response(each.equilibrium.game, each.learned.controls, "maker_0", STEPS)
        assert each.agents["maker_0"].exploitability == pytest.approx(alone.gain, rel=1e-9)
        np.testing.assert_allclose(each.learned.controls.ask[:, 1], each.equilibrium.controls.ask[:, 1], rtol=1e-12)
    vector = gymnasium.make_vec(
        "makertaker/Acas-v0", 3, "vector_entry_point", agent="maker_0", random=RANDOM, steps=STEPS, observation="time"
    )
    again = score(vector, lambda seen: np.zeros((*np.shape(seen)[:-1], 2)), draws=4)
    assert again.relative_nash_conv == found.relative_nash_conv


@pytest.mark.parametrize("made", [False, True])
def test_the_others_are_those_of_the_environment(made):
    """Policies, or a function that makes them for a market."""
    fixed = {
        "trader_0": lambda k, state: np.full((*np.shape(state.inventories)[:-1], 1), 2.5),
        "maker_1": lambda k, state: np.full((*np.shape(state.inventories)[:-1], 2), 1.25),
    }
    others = (lambda market: fixed) if made else fixed
    env = gymnasium.make(
        "makertaker/Acas-v0", agent="maker_0", others=others, random=RANDOM, steps=STEPS, observation="time"
    )
    for each in score(env, lambda seen: np.zeros((*np.shape(seen)[:-1], 2)), draws=3).draws:
        np.testing.assert_array_equal(each.learned.controls.rate[:, 0], 2.5)
        np.testing.assert_array_equal(each.learned.controls.ask[:, 1], 1.25)


def test_actors_of_torchrl_are_scored_as_those_of_pettingzoo():
    torch = pytest.importorskip("torch")
    pytest.importorskip("torchrl")
    from makertaker.envs.torchrl_env import TorchMarket

    def act(seen):
        return 0.5 * seen[..., 1:2] - 0.1 * seen[..., 2:3] + 0.2 * seen[..., :1]

    def actor(tensordict):
        for group, size in (("trader", 1), ("maker", 2)):
            action = act(tensordict[group, "observation"])
            tensordict[group, "action"] = torch.cat([action] * size, dim=-1)
        return tensordict

    options = {"random": RANDOM, "steps": STEPS, "observation": "time", "context": True}
    market = TorchMarket("acas", 2, dtype=torch.float64, **options)
    found = score(market, market.policies(actor), draws=4)
    env = acas_v0.parallel_env(**options)
    same = {
        agent: lambda seen, size=space.shape[0]: np.concatenate([act(seen)] * size, axis=-1)
        for agent, space in env.action_spaces.items()
    }
    expected = score(env, same, draws=4)
    assert found.relative_nash_conv == pytest.approx(expected.relative_nash_conv, rel=1e-5)
    assert found.exact == expected.exact


def test_bad_arguments_are_refused():
    env = make()
    with pytest.raises(ValueError, match="draws: expected a whole number >= 2, got 1"):
        score(env, steady(env), draws=1)
    with pytest.raises(ValueError, match="equilibrium: every market that is drawn has its own, expected None"):
        score(env, steady(env), equilibrium=solve(load_scenario("acas"), STEPS))
    with pytest.raises(ValueError, match="expected one game, got a distribution"):
        evaluate(env, solve(load_scenario("acas"), STEPS).open_loop())
