"""An unmodified sb3-contrib algorithm on the Gymnasium view, the others in equilibrium. Needs the extra 'train'."""

import sys

import gymnasium
from sb3_contrib import TRPO

from makertaker.baselines import solve

timesteps = int(sys.argv[1]) if len(sys.argv) > 1 else 60_000
env = gymnasium.make("makertaker/Acas-v0", agent="trader_0", steps=20)
model = TRPO("MlpPolicy", env, gamma=1.0, n_steps=2000, batch_size=500, seed=0, device="cpu")
model.learn(timesteps)

observation, _ = env.reset(seed=1)
total, done = 0.0, False
while not done:
    action, _ = model.predict(observation, deterministic=True)
    observation, reward, done, _, _ = env.step(action)
    total += reward
print(f"learned {total:.3f}, equilibrium {solve(env.unwrapped.game, 20).payoffs[0]:.3f}")
