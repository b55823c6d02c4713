"""Independent learning: the hub, information structures, checkpoints."""

import pickle

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("stable_baselines3")

from makertaker.baselines import exploitability, solve  # noqa: E402
from makertaker.envs import rollout  # noqa: E402
from makertaker.envs.grid import State  # noqa: E402
from makertaker.training import IndependentLearners, MarketVecEnv  # noqa: E402
from makertaker.training.sb3.algorithms import ALGORITHMS  # noqa: E402
from support.learning import EPISODE, GAME, MIX, STEPS, assert_same_parameters, differ, learners, parameters  # noqa: E402


@pytest.mark.parametrize("algorithm", [*ALGORITHMS, MIX], ids=lambda each: each if isinstance(each, str) else "mix")
def test_every_algorithm_learns_and_is_deterministic_under_its_seed(algorithm):
    results = []
    for seed in (3, 3, 4):
        trained = learners(algorithm=algorithm, seed=seed)
        before = parameters(trained)
        trained.learn(3 * EPISODE)
        assert differ(before, parameters(trained))
        assert trained.hub.steps_done == 3 * EPISODE
        assert {model.num_timesteps for model in trained.models.values()} == {3 * EPISODE}
        results.append(parameters(trained))
    assert_same_parameters(results[0], results[1])
    assert differ(results[0], results[2])


@pytest.mark.parametrize("algorithm", ["ppo", "sac", "td3", "tqc"])
@pytest.mark.parametrize(("information", "entries"), [("time", 1), ("own", 2), ("market", 7), ("full", 13)])
def test_actors_see_their_information_and_critics_everything(algorithm, information, entries):
    trained = learners(algorithm=algorithm, information=information)
    policy = trained.models["maker_0"].policy
    seen = torch.zeros(1, 13, requires_grad=True)
    action = (
        policy.get_distribution(seen).mode()
        if algorithm == "ppo"
        else policy.actor(seen, deterministic=True)
        if algorithm != "td3"
        else policy.actor(seen)
    )
    (gradient,) = torch.autograd.grad(action.sum(), seen)
    assert not gradient[0, entries:].any()
    assert gradient[0, :entries].all()
    if algorithm == "ppo":
        value = policy.predict_values(seen).sum()
    else:
        value = sum(each.sum() for each in policy.critic(seen, torch.zeros(1, 2)))
    (gradient,) = torch.autograd.grad(value, seen)
    assert gradient[0].all()


def test_joint_rewards_are_the_payoffs_of_the_joint_controls():
    """What the learners' environments report as episode returns is what ``rollout`` computes, in each one's unit."""
    trained = learners(markets=1)
    hub = trained.hub
    rng = np.random.default_rng(0)
    actions = rng.uniform(-1, 1, (STEPS, 5))
    returns = {}
    for k in range(STEPS):
        step = {"trader_0": actions[k, :1], "maker_0": actions[k, 1:3], "maker_1": actions[k, 3:]}
        for agent, (_, _, done, infos) in hub.advance({name: value[None] for name, value in step.items()}).items():
            if done[0]:
                returns[agent] = infos[0]["episode"]["r"]
    controls = [trained.market.controls(actions[k]) for k in range(STEPS)]
    play = {
        agent: lambda k, state, i=i: np.atleast_1d(
            [controls[k].rate[0], (controls[k].ask[0], controls[k].bid[0]), (controls[k].ask[1], controls[k].bid[1])][i]
        )
        for i, agent in enumerate(GAME.agents)
    }
    payoffs = rollout(GAME, play, STEPS).payoffs
    for i, agent in enumerate(GAME.agents):
        assert returns[agent] == pytest.approx(payoffs[i] / GAME.payoff_unit(agent), abs=1e-9)


def test_budgets_need_not_be_common_multiples():
    """A learner that has ended keeps acting; one that has not goes on."""
    trained = learners(algorithm=MIX)
    trained.models["trader_0"].n_steps = 3
    trained.models["trader_0"].rollout_buffer.buffer_size = 3
    trained.models["trader_0"].rollout_buffer.reset()
    trained.learn(2 * EPISODE)
    assert trained.models["trader_0"].num_timesteps == 96  # the first multiple of 3 * 8 that reaches 80
    assert trained.models["maker_0"].num_timesteps == 2 * EPISODE


def test_one_failing_learner_ends_all():
    trained = learners()

    def fail(*_, **__):
        raise FloatingPointError("diverged")

    trained.models["maker_0"].train = fail
    with pytest.raises(FloatingPointError, match="diverged"):
        trained.learn(4 * EPISODE)
    assert trained.models["maker_1"].num_timesteps <= EPISODE


def test_nan_actions_are_reported_with_the_agent():
    trained = learners()
    with torch.no_grad():
        trained.models["maker_1"].policy.action_net.bias.fill_(float("nan"))
    with pytest.raises((FloatingPointError, ValueError), match=r"maker_1|nan"):
        trained.learn(EPISODE)


def test_agents_can_follow_given_policies():
    policies = solve(GAME, STEPS).open_loop()
    fixed = {agent: policies[agent] for agent in ("maker_0", "maker_1")}
    trained = learners(fixed=fixed)
    assert list(trained.models) == ["trader_0"]
    trained.learn(EPISODE)
    played = rollout(GAME, trained.policies(), STEPS).controls
    np.testing.assert_allclose(played.ask, solve(GAME, STEPS).controls.ask, atol=1e-12)


@pytest.mark.parametrize("algorithm", ["ppo", MIX], ids=["ppo", "mix"])
def test_a_resumed_training_ends_where_an_uninterrupted_one_does(tmp_path, algorithm):
    straight = learners(algorithm=algorithm)
    straight.learn(4 * EPISODE, until=2 * EPISODE)
    straight.save_checkpoint(tmp_path / "checkpoint", {"note": 7})
    straight.learn(4 * EPISODE)

    resumed = learners(algorithm=algorithm, seed=3)
    assert resumed.load_checkpoint(tmp_path / "checkpoint") == {"note": 7}
    assert resumed.hub.steps_done == 2 * EPISODE
    resumed.learn(4 * EPISODE)
    assert_same_parameters(parameters(straight), parameters(resumed))


@pytest.mark.parametrize("damage", ["state.pkl", "maker_0.zip"])
def test_a_corrupt_checkpoint_is_refused(tmp_path, damage):
    trained = learners()
    trained.learn(EPISODE)
    trained.save_checkpoint(tmp_path / "checkpoint")
    (tmp_path / "checkpoint" / damage).write_bytes(b"not a checkpoint")
    with pytest.raises(ValueError, match=r"checkpoint .* is corrupt"):
        learners().load_checkpoint(tmp_path / "checkpoint")
    with pytest.raises(ValueError, match="there is none"):
        learners().load_checkpoint(tmp_path / "nowhere")


@pytest.mark.parametrize("kind", ["open_loop", "feedback"])
def test_policies_made_for_another_grid_are_refused(kind):
    others = getattr(solve(GAME, 2 * STEPS), kind)()
    message = "its policy was made for 10 steps, expected one for 5"
    with pytest.raises(ValueError, match=message):
        rollout(GAME, others, STEPS)
    with pytest.raises(ValueError, match=message):
        MarketVecEnv(GAME, 3, "maker_0", others, steps=STEPS)
    with pytest.raises(ValueError, match=message):
        learners(fixed={agent: others[agent] for agent in ("maker_0", "maker_1")})


def test_learned_policies_are_batched():
    policy = learners().policies()["maker_0"]
    inventories = np.random.default_rng(0).normal(size=(4, 2, 3))
    state = State(0.2, None, inventories, np.zeros((4, 2, 2, 2)))
    result = policy(1, state)
    assert result.shape == (4, 2, 2)
    alone = policy(1, State(0.2, None, inventories[1, 1], np.zeros((2, 2))))
    np.testing.assert_allclose(result[1, 1], alone, rtol=1e-6)


@pytest.mark.parametrize("left", ["new", "old"])
def test_an_interrupted_exchange_of_checkpoints_is_recovered(tmp_path, left):
    trained = learners()
    trained.learn(EPISODE)
    trained.save_checkpoint(tmp_path / "checkpoint")
    (tmp_path / "checkpoint").rename(tmp_path / f"checkpoint.{left}")
    again = learners()
    again.load_checkpoint(tmp_path / "checkpoint")
    assert again.hub.steps_done == EPISODE


@pytest.mark.slow
def test_default_training_reaches_half_a_percent():
    trained = IndependentLearners(GAME, steps=20, seed=0)
    trained.learn(160_000)
    controls = rollout(GAME, trained.policies(), 20).controls
    assert exploitability(GAME, controls, 20).relative < 0.005


def test_policies_are_not_lost_by_pickling_games():
    assert pickle.loads(pickle.dumps(GAME)) == GAME
