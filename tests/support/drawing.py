"""Strategies of Hypothesis that draw games, the same in every run."""

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st

from makertaker.envs import BestQuote, ExecutionGame, Exponential, MakerTakerGame, QuadraticImpact
from support.functions import wave


def drawn(examples):
    """Settings of a test that runs on so many examples."""
    return settings(max_examples=examples, deadline=None, derandomize=True)


def number(low, high):
    """A finite number."""
    return st.floats(low, high, allow_nan=False)


@st.composite
def execution_games(draw, most=4, crowding=1.9):
    """Agents with penalties of their own, impacts that vary; the terminal penalty outweighs alpha."""
    count = draw(st.integers(1, most))

    def several(low, high):
        return [draw(number(low, high)) for _ in range(count)]

    return ExecutionGame(
        several(-5, 5),
        draw(number(0.3, 1.5)),
        permanent_impact=wave(draw(number(0, 0.4)), draw(number(-0.5, 0.5)), 3.0),
        temporary_impact=wave(draw(number(0.3, 2)), draw(number(-0.5, 0.5)), 2.0),
        crowding=draw(number(0, crowding)),
        running_penalty=several(0, 2),
        terminal_penalty=several(0.5, 3),
        buy_flow=draw(number(0, 3)),
        sell_flow=wave(draw(number(0, 2)), 0.7, 4.0),
        max_rate=1e4,
    )


@st.composite
def maker_taker_games(draw, flow=(0.1, 2.0)):
    """One to three buyers and sellers, two to four makers, everyone with its own penalties and impact."""
    traders, makers = draw(st.integers(1, 3)), draw(st.integers(2, 4))

    def each(count, low, high):
        return draw(st.lists(number(low, high), min_size=count, max_size=count))

    sides = draw(st.lists(st.sampled_from([-1.0, 1.0]), min_size=traders, max_size=traders))
    return MakerTakerGame(
        trader_inventory=np.multiply(sides, each(traders, 0.5, 6.0)),
        maker_inventory=each(makers, -2.0, 2.0),
        horizon=draw(number(0.3, 1.5)),
        competition=BestQuote(Exponential(draw(number(0.3, 1.5)))),
        impact=QuadraticImpact(each(traders, 0.2, 2.0)),
        trader_running_penalty=each(traders, 0.0, 1.0),
        trader_terminal_penalty=each(traders, 0.1, 2.0),
        maker_running_penalty=each(makers, 0.0, 1.0),
        maker_terminal_penalty=each(makers, 0.1, 2.0),
        buy_flow=draw(number(*flow)),
        sell_flow=draw(number(*flow)),
        min_rate=draw(st.sampled_from([0.0, 0.3])),
        flow_from=draw(st.sampled_from(["sum", "mean"])),
    )
