"""Users are told where an environment's actions do not reach the equilibrium."""

import warnings
from dataclasses import replace

import gymnasium
import pytest

from makertaker.baselines import FieldOptions, solve
from makertaker.baselines.reach import out_of_reach, warn_where_out_of_reach
from makertaker.envs import load_scenario, read_scenario, scenario_names
from makertaker.envs.market import Setting


@pytest.mark.parametrize("name", scenario_names())
def test_equilibria_of_the_scenarios_are_within_reach(name):
    game, steps = load_scenario(name), read_scenario(name).steps
    fitted = FieldOptions(degree=2, paths=256) if game.random and game.makers else None
    assert out_of_reach(Setting(game, steps), solve(game, steps, field=fitted)) is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rate_range": (0.0, 1.0)}, r"trader_0 trades at rates in \[.*\], the range is \[0, 1\]; rate_range"),
        ({"quote_range": (-1.0, 0.5)}, r"maker_0 asks in .* \[-1, 0\.5\]; maker_1 asks in"),
        ({"quote_range": (1.0, 5.0)}, r"maker_0 bids in .*; maker_1 bids in"),
        ({"quote_range": (-1.0, 0.5), "normalize": True}, "maker_1 asks in"),
    ],
)
def test_where_the_range_is_too_narrow_there_is_a_warning(changes, message):
    game = load_scenario("acas")
    found = solve(game, 5)
    with pytest.warns(UserWarning, match=f"the equilibrium is outside of the action range: .*{message}"):
        warn_where_out_of_reach(Setting(game, 5, **changes), found)
    for make, more in ((gymnasium.make, {}), (gymnasium.make_vec, {"num_envs": 2})):
        with pytest.warns(UserWarning, match=message):
            make("makertaker/Acas-v0", scenario="acas", steps=5, **more, **changes)


def test_physical_actions_and_quotes_that_matter_to_nobody_are_not_held_to_the_range():
    game = load_scenario("acas")
    narrow = {"rate_range": (0.0, 1.0), "quote_range": (-1.0, 0.5)}
    bounded = replace(
        game, max_rate=100.0, max_quote=50.0
    )  # physical actions are held to constraints, if there are any
    assert out_of_reach(Setting(bounded, 5, normalize=False, **narrow), solve(bounded, 5)) is None
    assert "trader_0 trades" in out_of_reach(Setting(game, 5, normalize=False, **narrow), solve(game, 5))
    silent = replace(game, sell_flow=0.0)
    found = solve(silent, 5)
    assert not found.quotes_matter[:, 1].any()
    beyond = found.controls._replace(bid=found.controls.bid + 100)
    assert out_of_reach(Setting(silent, 5), replace(found, controls=beyond)) is None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        gymnasium.make("makertaker/Acas-v0", scenario="acas", steps=5)
