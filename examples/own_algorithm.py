"""Your own algorithm: evolution strategies for one maker against the equilibrium, a thousand markets at a time."""

import gymnasium
import numpy as np

from makertaker.baselines import best_response, solve

STEPS, MARKETS = 10, 1000
envs = gymnasium.make_vec(
    "makertaker/Acas-v0", num_envs=MARKETS, vectorization_mode="vector_entry_point", agent="maker_0", steps=STEPS
)
rng = np.random.default_rng(0)
unit = envs.unwrapped.game.payoff_unit("maker_0")
mean, spread = np.zeros((STEPS, 2)), 1.0


def payoffs(schedules: np.ndarray) -> np.ndarray:
    """(MARKETS,) in currency, of quotes (MARKETS, STEPS, 2) in control units from the middle of the range."""
    envs.reset(seed=0)
    return unit * sum(envs.step(schedules[:, k].astype(np.float32))[1] for k in range(STEPS))


for _ in range(60):
    tried = mean + spread * rng.standard_normal((MARKETS, STEPS, 2))
    earned = payoffs(tried)
    mean = tried[np.argsort(earned)[-MARKETS // 10 :]].mean(axis=0)
    spread = max(0.93 * spread, 0.02)
learned = float(payoffs(np.broadcast_to(mean, (MARKETS, STEPS, 2)))[0])
nash = solve(envs)
print(f"learned {learned:.4f}, equilibrium {nash.payoffs[1]:.4f}, best response", end=" ")
print(f"{best_response(envs, nash.controls, 'maker_0').payoff:.4f}")
