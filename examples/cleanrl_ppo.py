"""Single-file PPO in the manner of CleanRL on the vectorised Gymnasium view: one trader, the makers in equilibrium.

Needs PyTorch. The episode is short and undiscounted: gamma = lambda = 1, and exploration shrinks.
"""

import sys
import time

import gymnasium
import numpy as np
import torch
from torch import nn
from torch.distributions import Normal

from makertaker.baselines import solve

STEPS, MARKETS, EPOCHS, MINIBATCHES, CLIP, RATE = 20, 64, 5, 4, 0.2, 1e-3
TIMESTEPS = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000


def network(inputs: int, outputs: int, gain: float) -> nn.Sequential:
    layers = [nn.Linear(inputs, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, outputs)]
    for layer in layers[::2]:
        nn.init.orthogonal_(layer.weight, gain if layer is layers[-1] else 2**0.5)
        nn.init.zeros_(layer.bias)
    return nn.Sequential(*layers)


torch.manual_seed(0)
torch.set_num_threads(1)
envs = gymnasium.make_vec(
    "makertaker/Acas-v0", num_envs=MARKETS, vectorization_mode="vector_entry_point", agent="trader_0", steps=STEPS
)
size = envs.single_observation_space.shape[0]
actor, critic = network(size, 1, 0.01), network(size, 1, 1.0)
optimizer = torch.optim.Adam([*actor.parameters(), *critic.parameters()], lr=RATE, eps=1e-5)
updates, begin = max(1, TIMESTEPS // (STEPS * MARKETS)), time.time()

for update in range(updates):
    left = 1 - update / updates
    optimizer.param_groups[0]["lr"] = RATE * left
    deviation = 1.0 * left + 0.1  # in control units
    seen, taken, logs, rewards, values = [], [], [], [], []
    observations, _ = envs.reset(seed=update)
    for _ in range(STEPS):  # every market's episode has the same length: a rollout is one episode of each
        inputs = torch.as_tensor(observations)
        with torch.no_grad():
            policy = Normal(actor(inputs), deviation)
            action = policy.sample()
            values.append(critic(inputs)[:, 0])
        seen.append(inputs)
        taken.append(action)
        logs.append(policy.log_prob(action).sum(1))
        observations, reward, _, _, _ = envs.step(action.numpy())
        rewards.append(torch.as_tensor(reward, dtype=torch.float32))
    returns = torch.flip(torch.cumsum(torch.flip(torch.stack(rewards), [0]), 0), [0])
    advantages = returns - torch.stack(values)
    batch = [each.flatten(0, 1) for each in map(torch.stack, (seen, taken, logs))]
    inputs, actions, old, gains, targets = (*batch, advantages.flatten(), returns.flatten())
    for _ in range(EPOCHS):
        for part in torch.randperm(len(old)).chunk(MINIBATCHES):
            ratio = (Normal(actor(inputs[part]), deviation).log_prob(actions[part]).sum(1) - old[part]).exp()
            gain = (gains[part] - gains[part].mean()) / (gains[part].std() + 1e-8)
            policy_loss = -torch.min(gain * ratio, gain * ratio.clamp(1 - CLIP, 1 + CLIP)).mean()
            value_loss = 0.5 * ((critic(inputs[part])[:, 0] - targets[part]) ** 2).mean()
            optimizer.zero_grad()
            (policy_loss + 0.5 * value_loss).backward()
            nn.utils.clip_grad_norm_([*actor.parameters(), *critic.parameters()], 0.5)
            optimizer.step()

observations, _ = envs.reset(seed=0)
total = np.zeros(MARKETS)
for _ in range(STEPS):
    with torch.no_grad():
        observations, reward, _, _, _ = envs.step(actor(torch.as_tensor(observations)).numpy())
    total += reward
learned, nash = total[0] * envs.unwrapped.game.payoff_unit("trader_0"), solve(envs).payoffs[0]
print(
    f"{updates * STEPS * MARKETS:,} steps, {time.time() - begin:.0f} s: learned {learned:.4f}, equilibrium {nash:.4f}"
)
