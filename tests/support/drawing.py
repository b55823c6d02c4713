"""Strategies of Hypothesis that draw games."""

from hypothesis import strategies as st

from makertaker.envs import ExecutionGame
from support.functions import wave


def number(low, high):
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
