"""``score``: anybody's agents, in any environment of this package, against the equilibrium."""

import doctest
import json
import warnings
from importlib import import_module

import gymnasium
import numpy as np
import pytest
from pettingzoo.utils.wrappers import BaseParallelWrapper

import makertaker.envs  # noqa: F401  # registers the Gymnasium ids
from makertaker.baselines import OpenLoop, best_response, exploitability, open_loop_policies, solve
from makertaker.baselines.closed_loop.reactions import reactions
from makertaker.envs import (
    BestQuote,
    Exponential,
    MakerTakerGame,
    MarketVectorEnv,
    acas_v0,
    approximation_v0,
    execution_v0,
    maker_taker_v0,
    simulate,
)
from makertaker.training import evaluate, score
from support.foreign import SIZES, STEPS, Predicting, from_schedule, schedules

MODULES = {"acas": acas_v0, "execution": execution_v0, "maker_taker": maker_taker_v0}


def one_at_a_time(act):
    """The same, which cannot do batches."""

    def alone(seen):
        assert np.ndim(seen) == 1
        return act(seen)

    return alone


FORMS = {
    "batched": lambda act: act,
    "one at a time": one_at_a_time,
    "predict": Predicting,
    "in a tuple": lambda act: lambda seen: (act(seen), "more"),
    "batches only": lambda act: lambda seen: act(seen) if np.ndim(seen) == 2 else 1 / 0,
    "float32": lambda act: lambda seen: act(seen).astype(np.float32),
}


UNITS = [{"units": "currency"}, {"normalize": True}, {"identity": True}]


@pytest.mark.parametrize(
    ("observation", "units"),
    [
        *((each, {}) for each in ("time", "own", "market", "full")),
        *((each, units) for each in ("time", "full") for units in UNITS),
    ],
)
@pytest.mark.parametrize("name", MODULES)
def test_the_equilibrium_scores_zero(name, observation, units):
    env = MODULES[name].parallel_env(observation=observation, steps=STEPS, **units)
    nash = solve(env)
    for policies in (
        nash.open_loop(),
        {agent: from_schedule(actions) for agent, actions in schedules(env, nash.controls).items()},
    ):
        found = score(env, policies)
        assert abs(found.nash_conv) < 1e-9
        assert abs(found.relative_nash_conv) < 1e-10
        blind = observation == "time" or (observation == "own" and name == "execution")
        assert found.exact == (blind or isinstance(policies["trader_0"], OpenLoop))
        for i, each in enumerate(found.agents.values()):
            assert each.payoff == each["learned"] == pytest.approx(nash.payoffs[i], rel=1e-9)
            assert abs(each.gap) < 1e-9
            assert each.control_distance < 1e-6


@pytest.mark.parametrize("form", FORMS)
def test_policies_come_in_many_forms(form):
    env = acas_v0.parallel_env(observation="own", steps=STEPS)
    nash = solve(env)
    wider = nash.controls._replace(ask=nash.controls.ask + 0.2)
    given = {agent: FORMS[form](from_schedule(each)) for agent, each in schedules(env, wider).items()}
    found = score(env, given, information="time")
    expected = exploitability(env, wider)
    assert found.exact
    assert found.nash_conv == pytest.approx(expected.nash_conv, rel=1e-5)
    assert [each.exploitability for each in found.agents.values()] == pytest.approx(expected.gains.tolist(), rel=1e-5)


def test_torch_modules_and_distributions():
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    env = acas_v0.parallel_env(observation="own", steps=STEPS)

    class Gaussian(torch.nn.Module):
        def __init__(self, size):
            super().__init__()
            self.mean = torch.nn.Linear(2, size)

        def forward(self, seen):
            return torch.distributions.Normal(self.mean(seen), 0.1)

    nets = {agent: Gaussian(env.action_space(agent).shape[0]) for agent in env.possible_agents}
    by_hand = {
        agent: lambda seen, net=net: net.mean(torch.as_tensor(seen)).detach().numpy() for agent, net in nets.items()
    }
    means = {agent: net.mean for agent, net in nets.items()}
    expected, *others = (score(env, each) for each in (by_hand, nets, means))
    for other in others:
        assert other.metrics == expected.metrics
    drawn = score(env, nets, deterministic=False, episodes=256)
    assert not drawn.exact
    assert "simulated" in drawn.against
    assert "draw their actions" in drawn.notes[0]
    for agent in env.possible_agents:
        one, other = drawn.agents[agent], expected.agents[agent]
        assert one.learned_se > 0
        assert one.payoff == pytest.approx(other.payoff, abs=1 + 5 * one.learned_se)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("units", [{}, {"units": "currency"}, {"normalize": True}])
@pytest.mark.parametrize("name", MODULES)
def test_a_hand_stepped_loop_pays_the_same(name, units, dtype):
    env = MODULES[name].parallel_env(observation="time", steps=STEPS, **units)
    rng = np.random.default_rng(0)
    weights = {agent: rng.normal(size=(1, env.action_space(agent).shape[0])) for agent in env.possible_agents}
    policies = {agent: lambda seen, w=w: np.tanh((1 + seen) @ w).astype(dtype) for agent, w in weights.items()}
    seen, _ = env.reset(seed=0)
    total = dict.fromkeys(env.possible_agents, 0.0)
    while env.agents:
        seen, rewards, *_ = env.step({agent: policies[agent](seen[agent]) for agent in env.agents})
        for agent, reward in rewards.items():
            total[agent] += reward
    for agent, each in score(env, policies).agents.items():
        unit = each.payoff_unit if env.options.in_game_units else 1.0
        assert total[agent] * unit == pytest.approx(each.payoff, rel=1e-12, abs=1e-12)


@pytest.mark.parametrize(
    "make", [acas_v0.env, acas_v0.raw_env, lambda **options: BaseParallelWrapper(acas_v0.parallel_env(**options))]
)
def test_sequential_and_wrapped_environments(make):
    env = make(observation="time", steps=STEPS)
    assert abs(score(env, solve(env).open_loop()).nash_conv) < 1e-10


@pytest.mark.parametrize("agent", ["trader_0", "maker_1"])
def test_one_learner_against_the_equilibrium(agent):
    single = gymnasium.make("makertaker/Acas-v0", agent=agent, observation="time", steps=STEPS)
    nash = solve(single)
    batch = MarketVectorEnv("acas", 3, agent, nash.open_loop(), observation="time", steps=STEPS)
    best = schedules(acas_v0.parallel_env(observation="time", steps=STEPS), nash.controls)[agent]
    for env in (single, batch):
        assert abs(score(env, from_schedule(best)).nash_conv) < 1e-10
        short = score(env, {agent: from_schedule(best + 0.3)})
        assert short.agents[agent].exploitability == pytest.approx(-short.agents[agent].gap, rel=1e-9)
        assert short.agents[agent].gap < 0
        played = simulate(nash.game, short.learned.controls, STEPS)
        index = nash.game.positions[agent]
        assert short.agents[agent].payoff == pytest.approx(played.payoffs[index], rel=1e-12)


def test_supersuit_s_padding_is_undone():
    supersuit = pytest.importorskip("supersuit")
    env = acas_v0.parallel_env(observation="own", steps=STEPS)
    nash = solve(env)
    padded = supersuit.pad_action_space_v0(supersuit.pad_observations_v0(env))
    wide = {
        agent: np.pad(each, ((0, 0), (0, 2 - each.shape[1]))) for agent, each in schedules(env, nash.controls).items()
    }
    assert abs(score(padded, {agent: from_schedule(each) for agent, each in wide.items()}).nash_conv) < 1e-9


def test_a_score_is_what_evaluate_says_and_writes():
    env = acas_v0.parallel_env(observation="own", steps=STEPS)
    game = env.game
    wider = solve(env).controls._replace(bid=np.full((STEPS, 2), 0.4))
    found = score(env, open_loop_policies(game, wider), information="own")
    assert found.metrics == evaluate(env, open_loop_policies(game, wider)).metrics
    written = json.loads(found.json())
    assert written["nash_conv"] == found.nash_conv
    assert written["agents"]["maker_0"]["payoff_unit"] == game.payoff_unit("maker_0")
    assert written["exact"] is False
    assert "maker_1" in str(found)
    assert "lower bound" in str(found)
    assert found.figure().axes
    with pytest.raises(AttributeError, match="expected one of"):
        _ = found.agents["maker_0"].nothing


def test_policies_that_draw_are_found_out_and_sampled():
    """Against schedules that are drawn around others, gains are at least those of responses to their means."""
    env = acas_v0.parallel_env(observation="time", steps=STEPS)
    nash, rng = solve(env), np.random.default_rng(0)
    means = schedules(env, nash.controls)

    def noisy(mean):
        def act(seen):
            found = from_schedule(mean)(seen)
            return found + 0.3 * rng.standard_normal(found.shape)

        return act

    found = score(env, {agent: noisy(mean) for agent, mean in means.items()}, episodes=2048)
    assert not found.exact
    deviating = {agent: noisy(mean) for agent, mean in means.items()}
    for agent, each in found.agents.items():
        still = score(env, {**deviating, agent: from_schedule(means[agent])}, episodes=2048).agents[agent]
        gain = still.payoff - each.payoff
        slack = 4 * np.hypot(still.learned_se, each.learned_se) + 4 * each.exploitability_se
        assert each.exploitability >= gain - slack
        assert each.exploitability >= -slack


def test_a_game_with_noise_has_standard_errors():
    env = approximation_v0.parallel_env(observation="time", steps=3)
    zero = {
        agent: lambda seen, a=agent: np.zeros((*np.shape(seen)[:-1], env.action_space(a).shape[0]))
        for agent in env.possible_agents
    }
    found = score(env, zero)
    assert not found.exact
    assert all(each.exploitability > 5 * each.exploitability_se > 0 for each in found.agents.values())


def test_agents_that_look_at_the_price_are_played_on_its_moves():
    """Quotes that lean with the price cost what their variance costs: payoffs have standard errors then."""
    env = acas_v0.parallel_env(observation="market", steps=STEPS)
    nash = schedules(env, solve(env).controls)

    def leaning(agent, weight):
        return lambda seen: from_schedule(nash[agent])(seen) + weight * np.asarray(seen)[..., 4:5]

    calm, moved = (score(env, {agent: leaning(agent, w) for agent in nash}) for w in (0.0, 0.2))
    assert "learned_se" not in calm.agents["trader_0"]
    assert abs(calm.nash_conv) < 1e-9
    assert moved.agents["trader_0"].learned_se > 0
    assert moved.agents["trader_0"].exploitability > 5 * moved.agents["trader_0"].exploitability_se


def test_a_user_is_told_where_the_equilibrium_is_out_of_reach():
    game = MakerTakerGame(trader_inventory=(-5.0,), competition=BestQuote(Exponential(1.0)))
    env = acas_v0.parallel_env(game, quote_range=(2.0, 3.0), observation="time", steps=STEPS)
    found = score(env, solve(env).open_loop())
    assert "the equilibrium is outside of the action range: maker_0" in found.notes[0]
    with pytest.warns(UserWarning, match="outside of the action range"):
        gymnasium.make("makertaker/Acas-v0", game=game, quote_range=(2.0, 3.0), steps=STEPS)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        gymnasium.make("makertaker/Acas-v0", game=game, steps=STEPS)


def test_best_responses_are_found_by_name_of_a_scenario():
    nash = solve("acas")
    assert abs(best_response("acas", nash.controls, "maker_0").gain) < 1e-12
    assert exploitability("acas", nash.controls).relative < 1e-12


def test_arrays_of_other_libraries_environments():
    pytest.importorskip("torchrl")
    TorchMarket = pytest.importorskip("makertaker.envs.torchrl_env").TorchMarket
    env = TorchMarket("acas", observation="time", steps=STEPS)
    assert abs(score(env, solve(env).open_loop()).nash_conv) < 1e-10
    zero = {agent: lambda seen, w=w: np.zeros((*np.shape(seen)[:-1], w)) for agent, w in SIZES.items()}
    assert score(env, zero).metrics == score(acas_v0.parallel_env(observation="time", steps=STEPS), zero).metrics


def test_a_user_is_told_where_constraints_bind():
    """Shares in thousands, with a largest rate in single ones."""
    env = acas_v0.parallel_env(trader_inventory=[-5000.0], max_rate=100.0, observation="time", steps=STEPS)
    found = score(env, solve(env).open_loop())
    assert any("rates are truncated at max_rate = 100" in note for note in found.notes)


def test_rules_of_thumb_whose_payoffs_overflow_have_a_note():
    """Random quotes within thousands of margins: shares are exponential in their differences."""
    env = acas_v0.parallel_env(trader_inventory=[-5000.0], observation="time", steps=STEPS)
    found = score(env, solve(env).open_loop())
    assert abs(found.relative_nash_conv) < 1e-9
    assert "too large for floating point" in found.metrics["baselines"]["random"]["note"]
    assert "null" in json.dumps(found.metrics["baselines"]["random"], allow_nan=False)


def test_the_example_of_its_docstring_is_true():
    results = doctest.testmod(import_module("makertaker.training.evaluation.score"))
    assert results.attempted
    assert not results.failed


@pytest.mark.parametrize("information", [None, "time", "own", "full"])
def test_a_policy_may_give_one_control_for_all_markets(information):
    """As in ``rollout``: a rate (1,), quotes (2,), whose ask and bid are no two markets."""
    env = acas_v0.parallel_env(observation="full", steps=STEPS)
    nash = solve(env)
    rate, ask, bid = nash.controls
    alike = {"trader_0": lambda k, state: rate[k]}
    alike |= {f"maker_{j}": lambda k, state, j=j: np.array([ask[k, j], bid[k, j]]) for j in (0, 1)}
    found = score(env, alike, information=information)
    assert found.relative_nash_conv == pytest.approx(0, abs=1e-9)
    if information == "full":
        assert not any(each for agent in reactions(nash.game, alike, nash.steps).values() for each in agent.flat)
