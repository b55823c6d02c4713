"""Independent PPO from TorchRL's components on the native TorchRL environment, scored exactly.

Needs the extra 'torchrl'. Actors see time only, as in the paper; agents of one role share modules but no parameters.
Episodes are short and undiscounted, so gamma = lambda = 1; exploration and learning rate shrink.
"""

import sys

import torch
from tensordict.nn import TensorDictModule, TensorDictSequential
from torchrl.envs.utils import ExplorationType, set_exploration_type
from torchrl.modules import IndependentNormal, MultiAgentMLP, ProbabilisticActor
from torchrl.objectives import ClipPPOLoss, ValueEstimators

from makertaker.baselines import exploitability
from makertaker.envs import rollout
from makertaker.envs.scenarios import read_scenario
from makertaker.envs.torchrl_env import TorchMarket

MARKETS, EPOCHS, MINIBATCHES, RATE, EXPLORATION = 64, 5, 2, (5e-3, 1e-4), (1.8, 0.15)
TIMESTEPS, SEED = (int(sys.argv[i]) if len(sys.argv) > i else usual for i, usual in ((1, 160_000), (2, 0)))


def network(role: str, outputs: int) -> MultiAgentMLP:
    shape = (env.view.size, outputs, len(env.view.agents(role)))
    return MultiAgentMLP(*shape, centralized=False, share_params=False, depth=2, num_cells=64)


def learner(role: str) -> tuple[ProbabilisticActor, ClipPPOLoss]:
    mean = TensorDictModule(network(role, env.view.action_size(role)), [(role, "observation")], [(role, "loc")])
    spread = TensorDictModule(lambda loc: deviation.expand_as(loc), [(role, "loc")], [(role, "scale")])
    keys = {"in_keys": {"loc": (role, "loc"), "scale": (role, "scale")}, "out_keys": [(role, "action")]}
    keys |= {"distribution_class": IndependentNormal, "return_log_prob": True, "log_prob_key": (role, "log_prob")}
    actor = ProbabilisticActor(TensorDictSequential(mean, spread), **keys)
    critic = TensorDictModule(network(role, 1), [(role, "observation")], [(role, "value")])
    loss = ClipPPOLoss(actor, critic, clip_epsilon=0.2, entropy_bonus=False, loss_critic_type="l2")
    names = ("action", "reward", "done", "terminated", "advantage", "value_target", "value")
    loss.set_keys(**{name: (role, name) for name in names}, sample_log_prob=(role, "log_prob"))
    loss.make_value_estimator(ValueEstimators.GAE, gamma=1.0, lmbda=1.0)
    return actor, loss


torch.manual_seed(SEED)
torch.set_num_threads(1)
scenario = read_scenario("acas")
game, steps = scenario.game, scenario.steps
updates, deviation = max(1, TIMESTEPS // (scenario.steps * MARKETS)), torch.zeros(1)
env = TorchMarket(game, MARKETS, steps=steps, observation="time")
actors, losses = zip(*(learner(role) for role in env.view.names), strict=True)
policy = TensorDictSequential(*actors)
optimizer = torch.optim.Adam([each for loss in losses for each in loss.parameters()])


def report(update: int) -> None:
    score = exploitability(game, rollout(game, env.policies(policy), steps).controls, steps)
    done = update * steps * MARKETS
    print(f"{done:,} joint market steps: relative NashConv {100 * score.relative:.3f}%, 0 at the equilibrium")


for update in range(updates):
    if update % 12 == 0:
        report(update)
    deviation.fill_(EXPLORATION[0] * (EXPLORATION[1] / EXPLORATION[0]) ** (update / updates))
    optimizer.param_groups[0]["lr"] = RATE[0] * (RATE[1] / RATE[0]) ** (update / updates)
    with torch.no_grad(), set_exploration_type(ExplorationType.RANDOM):
        data = env.rollout(steps, policy)
        for role, loss in zip(env.view.names, losses, strict=True):
            for name in ("done", "terminated"):  # everybody's episode ends with the market's
                data["next", role, name] = data["next", name][..., None, :].expand_as(data["next", role, "reward"])
            loss.value_estimator(data)
            gains = data[role, "advantage"]
            data[role, "advantage"] = (gains - gains.mean((0, 1))) / (gains.std((0, 1)) + 1e-8)
    for _ in range(EPOCHS):
        for part in torch.randperm(data.numel()).chunk(MINIBATCHES):
            batch = data.reshape(-1)[part]
            optimizer.zero_grad()
            sum(each["loss_objective"] + each["loss_critic"] for each in (loss(batch) for loss in losses)).backward()
            optimizer.step()

report(updates)
