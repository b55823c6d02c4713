"""Independent learning: the hub, information structures, checkpoints."""

import pickle
import tempfile
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("stable_baselines3")

from makertaker.baselines import exploitability, solve  # noqa: E402
from makertaker.envs import rollout  # noqa: E402
from makertaker.envs.grid import State  # noqa: E402
from makertaker.training import IndependentLearners, MarketVecEnv  # noqa: E402
from makertaker.training.sb3.algorithms import ALGORITHMS, RECURRENT  # noqa: E402
from makertaker.training.sb3.prefix_policies import PrefixActorCriticPolicy, PrefixRecurrentPolicy  # noqa: E402
from support.learning import EPISODE, GAME, MIX, STEPS, assert_same_parameters, differ, learners, parameters  # noqa: E402

ON_POLICY = [name for name, each in ALGORITHMS.items() if each.kind == "on_policy"]
TRUSTED = {"trader_0": "trpo", "maker_0": "sac", "maker_1": "trpo"}
LSTM, STACKED = {"memory": "lstm", "information": "full"}, {"history": 2, "information": "market"}


@pytest.mark.parametrize(
    "changes",
    [
        # TQC's twenty-five quantiles take as long as the others together
        *(pytest.param({"algorithm": each}, marks=[pytest.mark.slow] * (each == "tqc")) for each in ALGORITHMS),
        *({"algorithm": each} for each in (MIX, TRUSTED)),
        *({"algorithm": each, **STACKED} for each in (MIX, TRUSTED)),
        LSTM,
    ],
    ids=str,
)
def test_every_algorithm_learns_and_is_deterministic_under_its_seed(changes):
    results = []
    for seed in (3, 3, 4):
        trained = learners(seed=seed, **changes)
        before = parameters(trained)
        trained.learn(2 * EPISODE)
        assert differ(before, parameters(trained))
        assert trained.hub.steps_done == 2 * EPISODE
        assert {model.num_timesteps for model in trained.models.values()} == {2 * EPISODE}
        results.append(parameters(trained))
    assert_same_parameters(results[0], results[1])
    assert differ(results[0], results[2])


@pytest.mark.parametrize("algorithm", ["ppo", "trpo", "sac", "td3", "tqc"])
@pytest.mark.parametrize(("information", "entries"), [("time", 1), ("own", 2), ("market", 7), ("full", 13)])
def test_actors_see_their_information_and_critics_everything(algorithm, information, entries):
    trained = learners(algorithm=algorithm, information=information)
    policy = trained.models["maker_0"].policy
    seen = torch.zeros(1, 13, requires_grad=True)
    action = (
        policy.get_distribution(seen).mode()
        if algorithm in ON_POLICY
        else policy.actor(seen, deterministic=True)
        if algorithm != "td3"
        else policy.actor(seen)
    )
    (gradient,) = torch.autograd.grad(action.sum(), seen)
    assert not gradient[0, entries:].any()
    assert gradient[0, :entries].all()
    if algorithm in ON_POLICY:
        value = policy.predict_values(seen).sum()
    else:
        value = sum(each.sum() for each in policy.critic(seen, torch.zeros(1, 2)))
    (gradient,) = torch.autograd.grad(value, seen)
    assert gradient[0].all()


@pytest.mark.parametrize("algorithm", ["ppo", "trpo", "sac", "td3", "tqc"])
@pytest.mark.parametrize(("information", "entries"), [("own", 2), ("market", 7), ("full", 13)])
def test_actors_see_their_information_of_the_last_observations_and_critics_all_of_them(algorithm, information, entries):
    policy = learners(algorithm=algorithm, information=information, history=3).models["maker_0"].policy
    seen = torch.zeros(1, 39, requires_grad=True)
    action = (
        policy.get_distribution(seen).mode()
        if algorithm in ON_POLICY
        else policy.actor(seen, **({} if algorithm == "td3" else {"deterministic": True}))
    )
    (gradient,) = torch.autograd.grad(action.sum(), seen)
    each = gradient.reshape(3, 13)
    assert not each[:, entries:].any()
    assert each[:, :entries].all()
    if algorithm in ON_POLICY:
        value = policy.predict_values(seen).sum()
    else:
        value = sum(each.sum() for each in policy.critic(seen, torch.zeros(1, 2)))
    (gradient,) = torch.autograd.grad(value, seen)
    assert gradient.all()


@pytest.mark.parametrize(("information", "entries"), [("own", 2), ("market", 7), ("full", 13)])
def test_recurrent_actors_see_their_information_and_critics_everything(information, entries):
    policy = learners(memory="lstm", information=information).models["maker_0"].policy
    seen, state, starts = torch.zeros(1, 13, requires_grad=True), (torch.zeros(1, 1, 32),) * 2, torch.zeros(1)
    (gradient,) = torch.autograd.grad(policy.get_distribution(seen, state, starts)[0].mode().sum(), seen)
    assert not gradient[0, entries:].any()
    assert gradient[0, :entries].all()
    (gradient,) = torch.autograd.grad(policy.predict_values(seen, state, starts).sum(), seen)
    assert gradient[0].all()


@pytest.mark.parametrize("changes", [LSTM, STACKED, {**STACKED, "algorithm": "sac"}], ids=str)
def test_policies_with_a_memory_act_as_the_library_does(changes):
    """The library's own predictions along the observations of an episode."""
    trained = learners(**changes)
    torch.manual_seed(0)
    with torch.no_grad():
        for each in trained.models["maker_0"].policy.parameters():
            each.add_(0.1 * torch.randn(each.shape))
    states: list[State] = []
    own = trained.policies()

    def watch(k, state):
        states.append(state)
        return own["trader_0"](k, state)

    start = np.random.default_rng(0).normal(size=(4, 3)) * [0, 1, 1] + GAME.start
    played = rollout(GAME, {**own, "trader_0": watch}, STEPS, inventories=start)
    model, kept = trained.models["maker_0"], None
    last = [np.zeros((4, 13), dtype=np.float32)] * (trained.history - 1)
    for k, state in enumerate(states):
        last = [*last, trained.market.observer.one(1, state)][-trained.history :]
        starts = np.full(4, k == 0)
        action, kept = model.predict(np.concatenate(last, axis=-1), kept, starts, deterministic=True)
        physical = trained.market.scale.physical_action("maker_0", action.astype(float))
        np.testing.assert_allclose(played.controls.ask[:, k, 0], physical[:, 0], rtol=1e-5)
    assert np.ptp(played.controls.ask[..., 0], axis=0).min() > 1e-3
    assert np.ptp(played.controls.ask[..., 0], axis=1).min() > 1e-3


@pytest.mark.parametrize(("steps", "markets", "minibatches"), [(1, 5, 2), (5, 7, 17), (5, 8, 2)])
def test_minibatches_of_an_lstm_leave_no_single_step(steps, markets, minibatches):
    """The standard deviation of one advantage is NaN, which the library does not look for."""
    given = replace(RECURRENT["ppo"], minibatches=minibatches)
    trained = learners(algorithm=given, steps=steps, markets=markets, information="own")
    assert (steps * markets) % trained.models["maker_0"].batch_size != 1
    trained.learn(2 * steps * markets)


class Own(PrefixActorCriticPolicy):
    """A user's own, which is no file of numbers."""


class OwnRecurrent(PrefixRecurrentPolicy):
    """The same with an LSTM."""


@pytest.mark.parametrize(
    ("algorithm", "policy", "changes"),
    [(ALGORITHMS, Own, STACKED), (RECURRENT, OwnRecurrent, LSTM)],
    ids=["stack", "lstm"],
)
def test_a_user_s_policy_remembers_as_well(algorithm, policy, changes):
    own = learners(algorithm=replace(algorithm["ppo"], policy=policy), **changes)
    assert set(own.numbers().values()) == {None}
    found, expected = (rollout(GAME, each.policies(), STEPS).controls for each in (own, learners(**changes)))
    np.testing.assert_allclose(found.ask, expected.ask, rtol=1e-5)


def test_an_lstm_is_of_the_recurrent_algorithm():
    with pytest.raises(ValueError, match="policy: expected a PrefixRecurrentPolicy with RecurrentPPO alone, got Own"):
        replace(RECURRENT["ppo"], policy=Own)
    with pytest.raises(ValueError, match=r"policy: .* alone, got OwnRecurrent with PPO"):
        replace(ALGORITHMS["ppo"], policy=OwnRecurrent)


@pytest.mark.parametrize(
    ("changes", "episodes"), [(STACKED, 20), ({**STACKED, "algorithm": "trpo"}, 40), (LSTM, 20)], ids=str
)
def test_actors_with_a_memory_learn(changes, episodes):
    """NashConv against the schedules that they play falls to a fraction; TRPO's steps are short."""
    trained = learners(**changes)

    def nash_conv():
        return exploitability(GAME, rollout(GAME, trained.policies(), STEPS).controls, STEPS).relative

    before = nash_conv()
    trained.learn(episodes * EPISODE)
    assert nash_conv() < 0.1 * before


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


@pytest.mark.parametrize("changes", [{"algorithm": MIX}, LSTM], ids=str)
def test_budgets_need_not_be_common_multiples(changes):
    """A learner that has ended keeps acting; one that has not goes on."""
    trained = learners(**changes)
    trained.models["trader_0"].n_steps = 3
    buffer = trained.models["trader_0"].rollout_buffer
    buffer.buffer_size = 3
    if changes is LSTM:
        buffer.hidden_state_shape = (3, *buffer.hidden_state_shape[1:])
    buffer.reset()
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


@pytest.mark.parametrize(
    "changes",
    [
        *({"algorithm": each} for each in ("ppo", "trpo", MIX, TRUSTED)),
        *({"algorithm": each, **STACKED} for each in ("ppo", MIX, TRUSTED)),
        LSTM,
    ],
    ids=str,
)
def test_a_resumed_training_ends_where_an_uninterrupted_one_does(tmp_path, changes, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    straight = learners(**changes)
    straight.learn(4 * EPISODE, until=2 * EPISODE)
    straight.save_checkpoint(tmp_path / "checkpoint", {"note": 7})
    straight.learn(4 * EPISODE)

    resumed = learners(**changes, seed=3)
    assert resumed.load_checkpoint(tmp_path / "checkpoint") == {"note": 7}
    assert resumed.hub.steps_done == 2 * EPISODE
    resumed.learn(4 * EPISODE)
    assert_same_parameters(parameters(straight), parameters(resumed))
    assert not list((tmp_path / "temporary").glob("SB3-*"))  # folders of its own logger


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
