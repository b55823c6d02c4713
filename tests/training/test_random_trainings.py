"""Trainings in random markets: everybody sees what was drawn, and is compared with the equilibrium of each draw."""

import numpy as np
import pytest

pytest.importorskip("stable_baselines3")
pytest.importorskip("optax")

from makertaker.baselines import exploitability, solve
from makertaker.envs import Noise, acas_v0, load_scenario, rollout
from makertaker.envs.scenarios.loader import build_scenario
from makertaker.envs.scenarios.writer import game_values
from makertaker.training import render, runs, score, seeds, task
from makertaker.training.datasets import record
from makertaker.training.evaluation.standings import Standings
from makertaker.training.jax.learners import JaxLearners
from makertaker.training.sb3.independent import IndependentLearners
from makertaker.training.task import Task
from support.random_markets import markets

pytestmark = pytest.mark.usefixtures("undrawn")  # those of ``done`` are drawn

STEPS, BATCH, MARKETS = 4, 16, 3
EPISODE = STEPS * BATCH
RANDOM = {
    "trader_inventory": {"uniform": [[-8.0], [-2.0]]},
    "competition.gamma": {"log_uniform": [0.5, 2.0]},
    "maker_terminal_penalty": {"choice": [0.1, 0.3]},
}
ENGINES = {"sb3": IndependentLearners, "jax": JaxLearners}


@pytest.fixture(autouse=True, scope="module")
def _few():
    """Fewer markets to be compared in, which is all that takes long here."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(task, "MARKETS", MARKETS)
        yield


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """Runs by engine: configuration, folder and metrics; only looked at."""
    out = tmp_path_factory.mktemp("done")
    return {
        engine: (config(engine), out / engine, runs.train(config(engine), out / engine).metrics) for engine in ENGINES
    }


def scenario(name="acas", **random):
    values = {**game_values(load_scenario(name)), "random": random or RANDOM}
    return build_scenario("drawn", values)


def config(engine, **changes):
    settings = {"timesteps": 4 * EPISODE, "markets": BATCH, "hyperparameters": {"ppo": {"net_arch": [8]}}, "seed": 1}
    return runs.RunConfig.of(scenario(), "ppo", STEPS, engine, **settings | changes)


class Nash:
    """An agent's part in the equilibrium of whatever was drawn, of one market or of many."""

    def __init__(self, drawn, agent, context):
        self.drawn, self.agent, self.rows = drawn, agent, np.atleast_2d(context)
        self.policies = [self._one(row) for row in self.rows]

    def _one(self, row):
        index = int(np.argmin(np.abs(self.drawn.context - row).sum(axis=1)))
        return self.drawn.markets[index].equilibrium.open_loop()[self.agent]

    def showing(self, context):
        return Nash(self.drawn, self.agent, context)

    def __call__(self, k, state):
        one, *others = self.policies
        return np.stack([each.schedule[k] for each in self.policies]) if others else one(k, state)


@pytest.mark.parametrize(
    ("name", "random"),
    [
        ("acas", RANDOM),
        ("execution-2", {"terminal_penalty": {"uniform": [1.0, 5.0]}}),
        ("almgren-chriss-2", {"permanent_impact": {"uniform": [0.5, 2.0]}}),  # who must liquidate
    ],
)
def test_standings_in_random_markets(name, random):
    """Nobody gains at the equilibria; other schedules gain what they gain in each market, on average."""
    drawn = Task(scenario(name, **random), STEPS, random=True)
    standings, agents, games = Standings(drawn), drawn.game.agents, [each.game for each in drawn.markets]
    policies = {agent: Nash(drawn, agent, drawn.context) for agent in agents}
    assert len(set(games)) == len(games) == MARKETS
    at_nash = standings(policies)
    assert at_nash.relative_nash_conv == pytest.approx(0, abs=1e-10)
    assert at_nash.control_distance == pytest.approx(0, abs=1e-9)
    still = {agent: Slower(each) for agent, each in solve(games[0], STEPS).open_loop().items()}
    found = standings({agent: Fixed(each) for agent, each in still.items()})
    each = [exploitability(one, rollout(one, still, STEPS).controls, STEPS) for one in games]
    assert found.nash_conv == pytest.approx(np.mean([one.nash_conv for one in each]), rel=1e-6)
    sizes = np.array([np.abs(one.equilibrium.payoffs).sum() for one in drawn.markets])
    assert found.relative_nash_conv == pytest.approx(found.nash_conv / sizes.mean(), rel=1e-12)
    payoffs = np.mean([one.payoffs for one in each], axis=0)
    assert [one.payoff for one in found.agents.values()] == pytest.approx(payoffs.tolist(), rel=1e-9)


class Slower:
    """A schedule of which a tenth is left out; who must liquidate does so in the end."""

    def __init__(self, policy):
        self.policy = policy

    def __call__(self, k, state):
        return 0.9 * np.asarray(self.policy(k, state))


class Fixed:
    """A schedule, whatever was drawn."""

    def __init__(self, policy):
        self.policy = policy

    def showing(self, context):
        return Fixed(self.policy)

    def __call__(self, k, state):
        own = np.asarray(self.policy(k, state))
        return np.broadcast_to(own, (*np.shape(state.inventories)[:-1], own.shape[-1]))


def test_standings_with_noise_are_those_of_the_markets():
    drawn = Task(scenario("execution-signal", terminal_penalty={"uniform": [1.0, 5.0]}), STEPS, random=True)
    found = Standings(drawn)({agent: Nash(drawn, agent, drawn.context) for agent in drawn.game.agents})
    alone = [Standings(one)(one.equilibrium.open_loop()) for one in drawn.markets]
    assert drawn.game.random
    assert found.nash_conv == pytest.approx(np.mean([one.nash_conv for one in alone]), rel=1e-12)
    assert found.control_distance == pytest.approx(0, abs=1e-9)
    assert all(one.nash_conv != 0 for one in alone)  # which is a lower bound, on simulated paths


@pytest.mark.parametrize("engine", ENGINES)
def test_a_run_is_compared_with_every_equilibrium(engine, done):
    """Metrics are those of ``score`` on the same draws; the history ends where an evaluation of schedules does."""
    own, folder, found = done[engine]
    assert found["drawn_markets"] == MARKETS
    env = acas_v0.parallel_env(own.load(), steps=STEPS, observation="full", context=True)
    scored = score(env, runs.load_policies(folder), draws=MARKETS).metrics  # policies say what they see
    for name in ("nash_conv", "relative_nash_conv", "relative_nash_conv_se", "control_distance", "agents"):
        assert found[name] == scored[name], name
    assert runs.load_history(folder)[-1, 1] == pytest.approx(found["nash_conv"], rel=1e-6)
    assert runs.evaluate_run(folder).metrics == found
    assert f"{MARKETS} drawn markets" in runs.write_report(folder).read_text(encoding="utf-8")


@pytest.mark.parametrize("engine", ENGINES)
def test_an_interrupted_run_ends_where_another_does(engine, done, tmp_path, monkeypatch):
    """The markets that were drawn for the next episode are in the checkpoint."""
    own, folder, whole = done[engine]
    kind, learn = ENGINES[engine], ENGINES[engine].learn

    def interrupted(self, timesteps, *, until=None, on_episode=None):
        learn(self, timesteps, until=until, on_episode=on_episode)
        if self.steps_done >= 2 * EPISODE:
            raise KeyboardInterrupt

    monkeypatch.setattr(kind, "learn", interrupted)
    with pytest.raises(KeyboardInterrupt):
        runs.train(own, tmp_path / "cut")
    monkeypatch.setattr(kind, "learn", learn)
    assert runs.resume(tmp_path / "cut").metrics == whole
    assert (tmp_path / "cut" / "history.csv").read_bytes() == (folder / "history.csv").read_bytes()


@pytest.mark.parametrize("name", ["best quote", "softmax", "noise", "execution"])
def test_markets_in_jax_pay_what_they_pay_alone(name):
    """Every market of a batch has its own draw, observations show it, and rewards are those of its game."""
    jax = pytest.importorskip("jax")
    learners = JaxLearners(markets(name), markets=BATCH, information="full")
    rollouts, key = learners.trainer.rollouts, jax.random.key(3)
    with jax.enable_x64(False):  # as learners play
        episode, noise = rollouts.play(learners.state.networks.actor, key, 0.3)
        draws = jax.tree.map(lambda each: np.asarray(each, dtype=float), rollouts.markets.draw(key))
    market = learners.market
    market.reset(np.random.default_rng(0), uniform=draws.uniform)
    for k in range(market.steps):
        np.testing.assert_allclose(episode.observations[k], market.observations(), atol=1e-3)
        actions = np.asarray(episode.means[k] + 0.3 * noise[k], dtype=float)
        joint = np.concatenate([actions[:, i, :size] for i, size in enumerate(rollouts.markets.sizes)], axis=1)
        shock = None if draws.inventory is None else draws.inventory[k]
        rewards = market.advance(market.controls(joint), Noise(draws.price[k], None, shock))
        np.testing.assert_allclose(episode.rewards[k], rewards, rtol=2e-3, atol=1e-3)
    assert np.ptp(episode.rewards, axis=1).min() > 0


@pytest.mark.parametrize("changes", [{"history": 2, "information": "full"}, {"memory": "gru", "information": "own"}])
def test_actors_with_a_memory_know_what_was_drawn(changes):
    own = config("jax", **changes)
    with own.learners() as learners:
        learners.learn(EPISODE)
        first, last = (learners.policies(own.task.context[i]) for i in (0, 1))
        found = Standings(own.task)(learners.policies(own.task.context))
    paths = [rollout(own.task.game, each, STEPS).controls for each in (first, last)]
    assert not np.allclose(paths[0].rate, paths[1].rate)
    assert np.isfinite(found.nash_conv)


def test_several_seeds_at_once_are_each_alone(done, tmp_path):
    found = seeds.train_seeds(config("jax"), [1, 2], tmp_path / "runs")
    assert found[1].metrics == done["jax"][2]
    assert found[2].metrics["nash_conv"] != found[1].metrics["nash_conv"]


def test_a_run_is_drawn_in_one_market_and_not_recorded(done, tmp_path):
    _, folder, _ = done["jax"]
    assert render.render(folder, tmp_path / "film.gif").path.stat().st_size > 0
    with pytest.raises(ValueError, match="learned in random markets"):
        record(folder, tmp_path / "data", episodes=2)


def test_a_policy_that_was_not_told_what_was_drawn_says_so(done):
    policies = runs.load_policies(done["jax"][1])
    with pytest.raises(ValueError, match=r"trader_0: its policy looks at what was drawn .* showing\(context\)"):
        rollout(load_scenario("acas"), policies, STEPS)
    told = {agent: each.showing(np.zeros(3)) for agent, each in policies.items()}
    assert np.isfinite(rollout(load_scenario("acas"), told, STEPS).payoffs).all()


@pytest.mark.parametrize("engine", ENGINES)
def test_everybody_learns_in_random_markets(engine):
    with pytest.raises(ValueError, match="expected everybody to learn in random markets"):
        runs.RunConfig.of(scenario(), "trader_0=equilibrium", STEPS, engine).fixed()
    schedule = solve("acas", STEPS).open_loop()["trader_0"]
    with pytest.raises(ValueError, match=r"expected everybody to learn in random markets.*\['trader_0'\]"):
        ENGINES[engine](scenario(), steps=STEPS, fixed={"trader_0": schedule})


def test_a_task_has_one_game_unless_it_may_have_more():
    assert Task("acas", STEPS).markets[0].game == load_scenario("acas")
    with pytest.raises(ValueError, match="expected one game"):
        Task(scenario())
    with pytest.raises(ValueError, match="every one has its own"):
        _ = Task(scenario(), random=True).equilibrium
