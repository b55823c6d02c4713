"""Noise: the equilibrium as a function of a random state, played in ten thousand markets at once."""

from makertaker.baselines import FieldOptions, exploitability, solve
from makertaker.envs import draw_noise, load_scenario, rollout

game, steps = load_scenario("approximation"), 10
nash = solve(game, steps, field=FieldOptions(degree=3))
print(nash.message)
noise = draw_noise(game, steps, paths=10_000, seed=0)
played = rollout(game, nash.open_loop(), steps, noise)
print("mean payoffs:", played.payoffs.mean(axis=0), "expected:", nash.payoffs)
print("standard deviation of the inventories at the end:", played.inventories[:, -1].std(axis=0))
gains = exploitability(game, nash.profile, steps)
print("gains:", gains.gains, "+-", gains.gains_se)
print("gains if everyone plays the mean controls:", exploitability(game, nash.controls, steps).gains)
