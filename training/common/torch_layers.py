"""Networks of PyTorch as numbers, and files of actors of earlier versions."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from torch import nn

from ...envs.market import Setting
from .actor import Actor, Layer
from .joint_market import Act
from .ranges import ACTIVATIONS

_NAMES = {getattr(nn, kind): name for name, kind in ACTIVATIONS.items()}


def stacked(modules: Iterable[nn.Module]) -> tuple[tuple[Layer, ...], str] | None:
    """Layers and the name of the function between them; None where modules are not such a network.

    Args:
        modules: linear ones, and the same function of :data:`.ranges.ACTIVATIONS` between each two.
    """
    found = list(modules)
    linear, between = found[::2], found[1::2]
    kind = type(between[0]) if between else nn.Tanh
    if kind not in _NAMES or {repr(each) for each in between} - {repr(kind())}:  # of another slope, or another kind
        return None
    layers = [
        Layer(as_numbers(each.weight), as_numbers(each.bias))
        for each in linear
        if type(each) is nn.Linear and each.bias is not None
    ]
    return (tuple(layers), _NAMES[kind]) if len(layers) == len(linear) == len(between) + 1 else None


def as_numbers(values: torch.Tensor) -> np.ndarray:
    """A copy of a tensor, in double precision."""
    return np.array(values.detach().cpu().numpy(), dtype=float)


def load_pickled(market: Setting, agent: str, path: Path) -> Act:
    """Actions of an actor that was trained on Ray before there were files of numbers.

    Raises:
        one of :data:`.files.DAMAGE`, such as KeyError for something else.
    """
    stored = torch.load(path, map_location="cpu", weights_only=True)
    state, space = {name: as_numbers(value) for name, value in stored["state"].items()}, market.action_space(agent)
    places = range(0, 2 * len(stored["hidden"]) + 1, 2)  # tanh in between
    layers = tuple(Layer(state[f"net.{i}.weight"], state[f"net.{i}.bias"]) for i in places)
    (width,) = market.observation_space.shape
    if len(layers[-1].bias) != len(space.low) or stored["visible"] > width:
        raise ValueError("its observations or actions are not those of the game")
    return Actor(width, stored["visible"], "tanh", False, space.low, space.high, layers).act
