"""The same game in other units of shares, prices and time."""

from dataclasses import replace

from makertaker.envs import ExecutionGame


def times(value, factor):
    """A number, or each of a tuple, times a factor; None stays."""
    if value is None:
        return None
    return tuple(each * factor for each in value) if isinstance(value, tuple) else value * factor


def rescaled(game, shares, prices, time):
    """A game of numbers whose shares, prices and times are ``shares``, ``prices`` and ``time`` times as large."""
    flow = shares / time
    common = {
        "horizon": game.horizon * time,
        "buy_flow": game.buy_flow * flow,
        "sell_flow": game.sell_flow * flow,
        "max_rate": times(game.max_rate, flow),
        "volatility": game.volatility * prices / time**0.5,
        "initial_price": game.initial_price * prices,
    }
    running, terminal = prices / shares / time, prices / shares
    if isinstance(game, ExecutionGame):
        return replace(
            game,
            **common,
            initial_inventory=times(game.initial_inventory, shares),
            permanent_impact=game.permanent_impact * prices / shares,
            temporary_impact=game.temporary_impact * prices * time / shares,
            running_penalty=times(game.running_penalty, running),
            terminal_penalty=times(game.terminal_penalty, terminal),
        )
    competition, impact = game.competition, game.impact
    if hasattr(competition, "intensity"):
        intensity = replace(competition.intensity, gamma=competition.intensity.gamma / prices)
        competition = replace(competition, intensity=intensity)
    if hasattr(competition, "rate"):
        competition = replace(competition, rate=competition.rate / prices)
    impact = replace(impact, beta=times(impact.beta, prices * time / shares))
    if hasattr(impact, "quartic"):
        impact = replace(impact, quartic=impact.quartic * prices * time**3 / shares**3)
    return replace(
        game,
        **common,
        competition=competition,
        impact=impact,
        trader_inventory=times(game.trader_inventory, shares),
        maker_inventory=times(game.maker_inventory, shares),
        trader_running_penalty=times(game.trader_running_penalty, running),
        maker_running_penalty=times(game.maker_running_penalty, running),
        trader_terminal_penalty=times(game.trader_terminal_penalty, terminal),
        maker_terminal_penalty=times(game.maker_terminal_penalty, terminal),
        min_rate=game.min_rate * flow,
        max_quote=times(game.max_quote, prices),
    )
