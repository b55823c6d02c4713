"""An unmodified sb3-contrib algorithm on the Gymnasium view, the others in equilibrium. Needs the extra 'train'."""

import sys

import gymnasium
from sb3_contrib import TRPO

from makertaker.training import score

timesteps = int(sys.argv[1]) if len(sys.argv) > 1 else 60_000
env = gymnasium.make("makertaker/Acas-v0", agent="trader_0", observation="time")
model = TRPO("MlpPolicy", env, gamma=1.0, n_steps=2000, batch_size=500, seed=0, device="cpu")
model.learn(timesteps)

print(score(env, model))  # the others play the equilibrium
