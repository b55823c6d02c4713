"""The same game in other units of shares, prices and time."""

from dataclasses import replace

from makertaker.envs import Affine, Decay, ExecutionGame, Logistic, Points, Sine


def times(value, factor):
    """A number, or each of a tuple, times a factor; None stays."""
    if value is None:
        return None
    return tuple(each * factor for each in value) if isinstance(value, tuple) else value * factor


def flow_in(flow, size, time, signal):
    """A flow ``size`` times as large, in another unit of time and of the factor."""
    match flow:
        case Affine(constant, slope):
            return Affine(constant * size, times(slope, size / signal))
        case Logistic(low, high, slope):
            return Logistic(low * size, high * size, times(slope, 1 / signal))
        case Points(points):
            return Points(tuple((t * time, value * size) for t, value in points))
        case Sine(mean, amplitude, period, phase):
            return Sine(mean * size, amplitude * size, period * time, phase)
        case Decay(scale, decay):
            return Decay(scale * size, decay / time)
    return flow * size


def factor_in(factor, time, signal):
    """A mean-reverting factor with a constant diffusion, ``signal`` times as large, in another unit of time."""
    drift = replace(factor.drift, rate=times(factor.drift.rate, 1 / time), mean=times(factor.drift.mean, signal))
    if hasattr(drift, "bound"):
        drift = replace(drift, bound=times(drift.bound, signal))
    diffusion = replace(factor.diffusion, value=times(factor.diffusion.value, signal / time**0.5))
    return replace(factor, initial=times(factor.initial, signal), drift=drift, diffusion=diffusion)


def rescaled(game, shares, prices, time, signal=1.0):
    """A game whose shares, prices, times and factor are ``shares``, ``prices``, ``time`` and ``signal`` times as
    large."""
    flow = shares / time
    common = {
        "horizon": game.horizon * time,
        "buy_flow": flow_in(game.buy_flow, flow, time, signal),
        "sell_flow": flow_in(game.sell_flow, flow, time, signal),
        "max_rate": times(game.max_rate, flow),
        "volatility": game.volatility * prices / time**0.5,
        "initial_price": game.initial_price * prices,
    }
    if game.factor is not None:
        common["factor"] = factor_in(game.factor, time, signal)
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
        inventory_noise=game.inventory_noise * shares / time**0.5,
    )
