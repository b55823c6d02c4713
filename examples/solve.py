"""Solve a market, look at its equilibrium, and ask which of the paper's conditions it satisfies."""

from makertaker.baselines import check, exploitability, solve
from makertaker.envs import load_scenario

game = load_scenario("acas")
nash = solve(game, steps=50)
print("payoffs:", nash.payoffs, "residual:", nash.residual, nash.message)
print("gains of best responses:", exploitability(game, nash.controls, steps=50).gains)
print("the buyer starts at rate", nash.controls.rate[0, 0], "and ends at", nash.controls.rate[-1, 0])
print("one share more for maker_0 moves the adjoints at time 0 by", nash.slope[0, :, 1])
for condition in check(game):
    print(f"{'yes' if condition.holds else 'no':4}{condition.name} ({condition.reference})")
