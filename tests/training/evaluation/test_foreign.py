"""Agents and environments that are not as they seem: what ``score`` looks for, and refuses in one line."""

import gymnasium
import numpy as np
import pytest
from pettingzoo.utils.wrappers import BaseParallelWrapper

import makertaker.envs  # noqa: F401  # registers the Gymnasium ids
from makertaker.baselines import solve
from makertaker.envs import (
    acas_v0,
    load_scenario,
)
from makertaker.training import score
from support.foreign import SIZES, STEPS, Predicting


def test_policies_that_react_are_not_taken_for_schedules():
    env = acas_v0.parallel_env(observation="time", steps=STEPS)
    reacting = solve(env).feedback()
    found = score(env, reacting)
    assert not found.exact
    assert found.metrics["information"] == "full"
    with pytest.raises(ValueError, match=r"information: .*'s policy acts on more than 'time' shows"):
        score(env, reacting, information="time")


def leaning(kind, weight):
    """Agents that act on an entry of the observation: the own inventory, the price, or another's inventory."""
    place = {"own": 1, "market": 4, "full": 7}[kind]
    return {
        agent: lambda seen, w=w: np.repeat(weight * seen[..., place : place + 1], w, axis=-1)
        for agent, w in SIZES.items()
    }


@pytest.mark.parametrize(
    ("used", "claimed"), [("own", "time"), ("market", "own"), ("full", "market"), ("full", "time")]
)
def test_information_that_is_claimed_is_tried(used, claimed):
    env = acas_v0.parallel_env(steps=STEPS)
    with pytest.raises(ValueError, match="acts on more than"):
        score(env, leaning(used, 0.5), information=claimed)
    assert score(env, leaning(used, 0.5), information=used).metrics["information"] == used


def test_actions_that_are_seldom_drawn_are_found_out():
    """Five steps of hundred at random, or those in the middle of an episode only."""
    env = acas_v0.parallel_env(observation="time")
    rng = np.random.default_rng(0)

    def greedy(width):
        return lambda seen: rng.uniform(-3, 3, width) if rng.random() < 0.05 else np.zeros(width)

    def midway(width):
        def act(seen):
            inside = (seen[..., :1] > 0.1) & (seen[..., :1] < 0.9)
            return inside * rng.standard_normal((*np.shape(seen)[:-1], width))

        return act

    for make in (greedy, midway):
        found = score(env, {agent: make(width) for agent, width in SIZES.items()}, episodes=64)
        assert not found.exact
        assert found.agents["trader_0"].learned_se > 0


def test_memory_is_refused():
    class Recurrent(Predicting):
        def predict(self, observation, state=None, episode_start=None, deterministic=False):
            return self.act(observation), np.zeros(1)

    env = acas_v0.parallel_env(observation="time", steps=STEPS)
    policies = {agent: Recurrent(lambda seen, w=w: np.zeros((*np.shape(seen)[:-1], w))) for agent, w in SIZES.items()}
    with pytest.raises(ValueError, match="trader_0: expected a policy without a memory"):
        score(env, policies)


WRAPPERS = {
    "rescaled": lambda env: gymnasium.wrappers.RescaleAction(env, -1.0, 1.0),
    "normalised": gymnasium.wrappers.NormalizeObservation,
    "sticky": lambda env: gymnasium.wrappers.StickyAction(env, 0.5),
    "cut": lambda env: gymnasium.wrappers.TimeLimit(env, 3),
    "transformed": lambda env: gymnasium.wrappers.TransformObservation(
        env, lambda seen: seen + 1, env.observation_space
    ),
}


@pytest.mark.parametrize("name", WRAPPERS)
def test_wrappers_that_change_the_market_are_refused(name):
    env = WRAPPERS[name](gymnasium.make("makertaker/Acas-v0", agent="maker_0", observation="own", steps=STEPS))
    with pytest.raises(ValueError, match="env: expected wrappers that leave observations, actions and episodes"):
        score(env, lambda seen: np.zeros((*np.shape(seen)[:-1], 2)))


@pytest.mark.parametrize(
    "wrapper", ["agent_indicator_v0", "frame_stack_v1", "scale_actions_v0", "delay_observations_v0"]
)
def test_supersuit_s_other_wrappers_are_refused(wrapper):
    supersuit = pytest.importorskip("supersuit")
    more = {"agent_indicator_v0": (), "frame_stack_v1": (3,), "scale_actions_v0": (0.5,), "delay_observations_v0": (1,)}
    env = getattr(supersuit, wrapper)(acas_v0.parallel_env(observation="own", steps=STEPS), *more[wrapper])
    with pytest.raises(ValueError, match="env: expected wrappers that leave"):
        score(env, {agent: lambda seen, w=w: np.zeros((*np.shape(seen)[:-1], w)) for agent, w in SIZES.items()})


def test_recording_wrappers_and_vectors_are_fine():
    env = gymnasium.wrappers.RecordEpisodeStatistics(gymnasium.make("makertaker/Acas-v0", agent="maker_0", steps=STEPS))
    vector = gymnasium.make_vec(
        "makertaker/Acas-v0", num_envs=2, vectorization_mode="sync", agent="maker_0", steps=STEPS
    )
    scores = [score(each, lambda seen: np.zeros((*np.shape(seen)[:-1], 2))) for each in (env, vector)]
    assert scores[0].metrics == scores[1].metrics
    assert "maker_0 alone could gain" in scores[0].notes[0]


def test_models_for_other_units_are_refused():
    model = Predicting(lambda seen: np.zeros((*np.shape(seen)[:-1], 2)))
    model.action_space = acas_v0.parallel_env(units="currency").action_space("maker_0")
    env = gymnasium.make("makertaker/Acas-v0", agent="maker_0", steps=STEPS)
    with pytest.raises(ValueError, match="was it trained in other units"):
        score(env, model)
    model.action_space = env.action_space
    assert score(env, model).nash_conv > 0


@pytest.mark.parametrize(
    ("policies", "message"),
    [
        (
            {agent: lambda seen: np.zeros((*np.shape(seen)[:-1], 3)) for agent in SIZES},
            r"trader_0: .*shape \(1,\), got \(3,\)",
        ),
        (
            {agent: lambda seen, w=w: np.full((*np.shape(seen)[:-1], w), np.nan) for agent, w in SIZES.items()},
            "trader_0: expected a policy that returns numbers, got NaN",
        ),
        (solve(load_scenario("acas"), 7).open_loop(), "trader_0: its policy was made for 7 steps, expected one for 5"),
        ({"trader_0": lambda seen: seen}, "expected one entry for each of"),
        (3, r"policies: expected one for each of .*, by name, got int"),
        ({agent: lambda seen: 1 / 0 for agent in SIZES}, r"trader_0: its policy fails .*: ZeroDivisionError"),
        (dict.fromkeys(SIZES, "ppo"), "expected a callable or an object with predict, got 'ppo'"),
    ],
)
def test_one_line_says_what_is_wrong(policies, message):
    env = acas_v0.parallel_env(observation="time", steps=STEPS)
    with pytest.raises(ValueError, match=message) as caught:
        score(env, policies)
    assert "\n" not in str(caught.value)


def test_a_nan_that_comes_later_is_found_as_well():
    env = acas_v0.parallel_env(observation="time", steps=STEPS)

    def late(width):
        return lambda seen: np.where(np.asarray(seen)[..., :1] == np.float32(0.4), np.nan, np.zeros(width))

    with pytest.raises(ValueError, match="got NaN"):
        score(env, {agent: late(width) for agent, width in SIZES.items()})


def test_other_environments_are_refused():
    with pytest.raises(ValueError, match="env: expected an environment of makertaker, got int"):
        score(3, {})

    class Doubled(BaseParallelWrapper):
        def observation_space(self, agent):
            return gymnasium.spaces.Box(0, 1, (0,))

    with pytest.raises(ValueError, match="expected wrappers that leave trader_0's observation space as it is"):
        score(Doubled(acas_v0.parallel_env()), {agent: lambda seen: np.zeros(2) for agent in SIZES})


def test_small_things():
    env = acas_v0.parallel_env(observation="time", steps=STEPS, inventory_spread=1.0)
    pairs = {"trader_0": lambda seen: [0.0], "maker_0": lambda seen: (0.0, 0.1), "maker_1": lambda seen: (0.0, 0.1)}
    found = score(env, pairs)
    assert found.notes[0].startswith("over 128 random starts, standard deviation 1 shares: relative NashConv ")
    assert found.metrics["random_starts"]["pairs"] == 64
    drawing = {**pairs, "maker_0": lambda seen: np.random.default_rng().normal(size=2)}
    assert "without the environment's inventory_spread" in " ".join(score(env, drawing, episodes=20).notes)
    with pytest.raises(ValueError, match="trader_0: expected a policy that returns numbers, got NaN"):
        score(env, {**pairs, "trader_0": lambda seen: np.full(1, np.nan)})
    with pytest.raises(ValueError, match=r"a policy of two arguments is taken for \(k, state\) -> controls, and fails"):
        score(env, {**pairs, "trader_0": lambda seen, rng: np.zeros(seen.shape)})
    with pytest.raises(ValueError, match="episodes: expected a positive even number, got 7"):
        score(env, pairs, episodes=7)
    with pytest.raises(ValueError, match="equilibrium: expected that of the environment's game and 5 steps"):
        score(env, pairs, equilibrium=solve("acas", 6))
