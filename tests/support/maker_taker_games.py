"""Games between traders and makers that several files solve or play."""

from dataclasses import replace

import numpy as np

from makertaker.envs import (
    BestQuote,
    CrowdedImpact,
    Exponential,
    MakerTakerGame,
    ProductShare,
    QuadraticImpact,
    QuarticImpact,
    SoftmaxShare,
    Softplus,
    load_scenario,
)

GENERAL_MARKETS = {
    "best quotes": load_scenario("maker-taker-3x3"),
    "softmax": load_scenario("maker-taker-softmax"),
    "product": replace(load_scenario("maker-taker-3x3"), competition=ProductShare(Softplus(1.0), 1.0, 0.4)),
}

# makers far enough apart that their quotes never cross, and a buyer who wants to trade at once: nothing is truncated
APART = MakerTakerGame(
    trader_inventory=(-6.0,),
    maker_inventory=(2.0, -0.5),
    competition=BestQuote(Exponential(0.8)),
    trader_running_penalty=0.4,
    maker_running_penalty=(0.3, 0.6),
    trader_terminal_penalty=1.0,
    maker_terminal_penalty=(0.7, 1.2),
    sell_flow=lambda t: 1 + 0.5 * np.sin(4 * t),
)
# both sides, and a third maker between the two
CROWD = replace(
    APART,
    trader_inventory=(-6.0, -3.0, 4.0),
    maker_inventory=(2.0, -2.0, 0.5),
    maker_running_penalty=0.3,
    maker_terminal_penalty=0.7,
    impact=QuadraticImpact((0.5, 0.4, 0.8)),
)


def log_uniform(rng, low, high, count):
    """Numbers whose logarithms are uniform."""
    return tuple(np.exp(rng.uniform(np.log(low), np.log(high), count)).tolist())


def draw_market(rng, competition=None, impact=None):
    """One to four traders, two to four makers, every competition and impact."""
    traders, makers = int(rng.integers(1, 5)), int(rng.integers(2, 5))
    gamma, beta = float(rng.uniform(0.4, 2.5)), log_uniform(rng, 0.2, 2, traders)
    competitions = (
        BestQuote(Exponential(gamma)),
        BestQuote(Softplus(gamma)),
        SoftmaxShare(gamma, offsets := tuple(rng.normal(0, 0.5, makers).tolist())),
        SoftmaxShare(gamma, offsets, -0.5),
        ProductShare(Exponential(gamma), gamma, 0.4),
    )
    impacts = (QuadraticImpact(beta), QuarticImpact(beta, 0.02), CrowdedImpact(beta, float(rng.uniform(0, 1.9))))
    return MakerTakerGame(
        trader_inventory=rng.choice([-1, 1], traders) * rng.uniform(0.5, 8, traders),
        maker_inventory=rng.normal(0, 1.5, makers),
        competition=competitions[rng.integers(4) if competition is None else competition],
        impact=impacts[rng.integers(3) if impact is None else impact],
        trader_running_penalty=log_uniform(rng, 0.01, 1, traders),
        maker_running_penalty=log_uniform(rng, 0.01, 1, makers),
        trader_terminal_penalty=log_uniform(rng, 0.05, 2, traders),
        maker_terminal_penalty=log_uniform(rng, 0.05, 2, makers),
        buy_flow=float(rng.uniform(0.1, 3)),
        sell_flow=float(rng.uniform(0.1, 3)),
    )


def scenario_game(name="approximation", **changed):
    """A scenario of the maker-taker game with parameters changed."""
    return replace(load_scenario(name), **changed)


def mirrored(game):
    """The game with every inventory's sign turned and the flows swapped."""
    return replace(
        game,
        trader_inventory=-np.array(game.trader_inventory),
        maker_inventory=-np.array(game.maker_inventory),
        buy_flow=game.sell_flow,
        sell_flow=game.buy_flow,
    )
