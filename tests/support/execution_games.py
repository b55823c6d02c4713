"""Execution games that several files solve."""

import numpy as np

from makertaker.envs import ExecutionGame
from support.functions import wave

ONE_TRADER = ExecutionGame((-4.0,), permanent_impact=0.4, crowding=0.7, running_penalty=0.3, terminal_penalty=1.5)
HOMOGENEOUS = ExecutionGame(
    (-5.0, 2.0, 4.0), 1.3, permanent_impact=0.5, running_penalty=0.4, terminal_penalty=0.9, buy_flow=1.5
)
UNCROWDED = ExecutionGame(
    (3.0, -1.0),
    0.8,
    permanent_impact=0.7,
    temporary_impact=0.4,
    crowding=0.0,
    running_penalty=(0.2, 1.1),
    terminal_penalty=(2.0, 0.5),
)
CROWDED = ExecutionGame(
    (-6.0, 1.0, 3.0),
    1.5,
    permanent_impact=wave(0.5, 0.6, 3.0),
    temporary_impact=wave(0.6, -0.4, 2.0),
    crowding=1.4,
    running_penalty=(wave(0.4, 0.5, 4.0), lambda t: 0.3 + 0.5 * t, 0.2),
    terminal_penalty=(1.0, 0.6, 1.8),
    buy_flow=lambda t: 2.0 * np.exp(-t),
    sell_flow=wave(0.8, 0.9, 5.0),
)
WEAKLY_CROWDED = ExecutionGame(
    (4.0, 2.5, -1.0),
    permanent_impact=lambda t: 0.8 - 0.5 * t,
    temporary_impact=lambda t: 0.3 + 0.4 * t**2,
    crowding=0.6,
    running_penalty=(0.5, wave(0.6, 0.7, 6.0), 0.1),
    terminal_penalty=(0.5, 1.2, 0.8),
    buy_flow=wave(1.0, 0.8, 2.0),
    sell_flow=lambda t: 1.5 * t,
)
GAMES = {
    "one trader": ONE_TRADER,
    "homogeneous": HOMOGENEOUS,
    "heterogeneous, no crowding": UNCROWDED,
    "varying, heterogeneous, crowded": CROWDED,
    "varying, heterogeneous, weakly crowded": WEAKLY_CROWDED,
}
