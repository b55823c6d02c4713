"""The makers' coalition with an outside option: interior, above Nash, from every start."""

from dataclasses import replace

import numpy as np
import pytest

from makertaker.baselines import solve
from makertaker.baselines.errors import NoOptimum
from makertaker.baselines.maker_taker.coalition import coalition_optimum
from makertaker.envs import BestQuote, MakerTakerGame, SoftmaxShare, load_scenario, simulate

DEALERS = load_scenario("dealers")
GAMES = {
    "dealers": DEALERS,
    "three, apart": replace(
        load_scenario("makers-only"), competition=SoftmaxShare(2.0, (0.0, 0.5, -0.3), -1.5), sell_flow=3.0
    ),
    "a trader": replace(DEALERS, trader_inventory=(-3.0,), trader_terminal_penalty=2.0),
    "a monopolist": replace(DEALERS, maker_inventory=(1.0,)),
}


def adjoints(game, inventories):
    """(K, n) marginal values of inventory, averaged over steps, by quadrature of ``-2 A Q_T - int_t^T 2 phi Q``."""
    steps = len(inventories) - 1
    dt, nodes = game.horizon / steps, (np.arange(200) + 0.5) / 200
    within = inventories[:-1, None] + nodes[:, None] * np.diff(inventories, axis=0)[:, None]  # (K, 200, n)
    running, terminal = game.maker_running_penalty, game.maker_terminal_penalty
    pieces = within * dt / 200
    later = np.cumsum(pieces[::-1, ::-1].reshape(-1, inventories.shape[-1]), axis=0).reshape(pieces.shape)[::-1, ::-1]
    left = later - pieces / 2  # from the middle of each piece to the end
    return -2 * terminal * inventories[-1] - 2 * running * left.mean(axis=1)


@pytest.mark.parametrize("name", ["dealers", "three, apart", "a monopolist"])
def test_one_markup_for_all(name):
    """``delta_i = y_i + 1 / (s z_0)`` on either side, ``z_0`` being what stays outside."""
    game = GAMES[name]
    found = coalition_optimum(game, 5)
    path = simulate(game, found.controls, 5).inventories
    value, rate = adjoints(game, path), game.competition.rate
    for sign, quotes in ((1, found.controls.ask), (-1, found.controls.bid)):
        left = 1 - game.competition.fill(quotes).share.sum(axis=-1, keepdims=True)
        np.testing.assert_allclose(quotes, sign * value + 1 / (rate * left), atol=1e-5 * game.margin)


@pytest.mark.parametrize("name", GAMES)
def test_every_start_finds_an_optimum_inside_above_nash(name):
    game = GAMES[name]
    nash, found = solve(game, 5), coalition_optimum(game, 5)
    assert max(found.totals) - min(found.totals) <= 1e-8 * abs(found.totals[0])
    assert len(found.totals) == (game.makers + 1 if game.traders else 1)
    gain = found.totals[0] - nash.payoffs[game.traders :].sum()
    if game.makers == 1 and not game.traders:
        assert gain == pytest.approx(0, abs=1e-9)
    else:
        assert gain > 0.01
    quotes = np.stack(found.controls[1:])
    assert np.abs(quotes).max() < 5 * game.margin
    if game.makers > 1:
        assert quotes.mean() > np.stack(nash.controls[1:]).mean()


@pytest.mark.parametrize("price", [1e-6, 1e5])
def test_it_is_the_same_in_other_units(price):
    """Prices in another currency: penalties scale as prices do, the rate inversely."""
    other = replace(
        DEALERS,
        maker_running_penalty=DEALERS.maker_running_penalty * price,
        maker_terminal_penalty=DEALERS.maker_terminal_penalty * price,
        competition=SoftmaxShare(2.0 / price, outside=-2.0),
    )
    first, second = coalition_optimum(DEALERS, 4), coalition_optimum(other, 4)
    np.testing.assert_allclose(np.array(second.totals) / price, first.totals, rtol=1e-9)
    np.testing.assert_allclose(second.controls.ask / price, first.controls.ask, atol=1e-5 * DEALERS.margin)


def test_the_dealers_of_the_documentation():
    """Nash and coalition totals of the scenario at 20 steps, as its page prints them; the coalition's from its
    first-order conditions."""
    nash, found = solve(DEALERS, 20), coalition_optimum(DEALERS, 20)
    assert nash.payoffs.sum() == pytest.approx(11.8862, abs=1e-4)
    assert found.totals[0] == pytest.approx(13.6469, abs=1e-4)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"competition": SoftmaxShare(2.0)}, "an outside option to go to"),
        ({"competition": BestQuote()}, "expected SoftmaxShare"),
        ({"max_quote": 1.0}, "lie beyond max_quote = 1"),
        ({"inventory_noise": 0.1}, "deterministic games only"),
    ],
)
def test_what_has_no_optimum(changes, said):
    with pytest.raises(NoOptimum, match=said):
        coalition_optimum(replace(DEALERS, **changes), 4)


def test_flow_that_ignores_prices_needs_somewhere_to_go():
    game = MakerTakerGame((-2.0,), (1.0, 0.0), competition=SoftmaxShare(1.0), buy_flow=0.0, sell_flow=0.0, min_rate=0.1)
    with pytest.raises(NoOptimum, match="charge without end"):
        coalition_optimum(game, 3)
