"""A market with an intensity of your own, checked against Definition 3.4, solved and exploited."""

import numpy as np

from makertaker.baselines import exploitability, solve
from makertaker.envs import BestQuote, Controls, CustomIntensity, MakerTakerGame


def logistic(x):
    """Customers who leave altogether where the quote is far above the others'."""
    return 1 / (1 + np.exp(np.clip(x, -500, 500)))


own = CustomIntensity(
    function=logistic,
    first=lambda x: -logistic(x) * logistic(-x),
    second=lambda x: logistic(x) * logistic(-x) * (1 - 2 * logistic(x)),
)
game = MakerTakerGame(trader_inventory=(-5.0,), maker_inventory=(1.0, 0.0), competition=BestQuote(own))
nash = solve(game, steps=50)
print("payoffs:", nash.payoffs)
print("gains:", exploitability(game, nash.controls, steps=50).gains)
greedy = Controls(nash.controls.rate, nash.controls.ask + 0.5, nash.controls.bid)
print("gains when makers ask half more:", exploitability(game, greedy, steps=50).gains)
