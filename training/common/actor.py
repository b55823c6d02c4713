"""Actors as small networks in files of their own: learners without all that only training needs.

A file is read with PyTorch alone, whatever library trained the actor, and holds numbers only: nothing in it is run.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn


def network(inputs: int, hidden: Sequence[int], outputs: int, last_gain: float) -> nn.Sequential:
    """A multilayer perceptron with tanh units and orthogonal initial weights, as is usual for PPO."""
    layers: list[nn.Module] = []
    for width, size in zip((inputs, *hidden), hidden, strict=False):
        layers += [_linear(width, size, float(np.sqrt(2))), nn.Tanh()]
    return nn.Sequential(*layers, _linear(hidden[-1] if hidden else inputs, outputs, last_gain))


def _linear(inputs: int, outputs: int, gain: float) -> nn.Linear:
    layer = nn.Linear(inputs, outputs)
    nn.init.orthogonal_(layer.weight, gain)
    nn.init.zeros_(layer.bias)
    return layer


class Actor(nn.Module):
    """Mean actions of a prefix of the observation; see :mod:`~makertaker.training.common.information`.

    Args:
        visible: number of leading entries that it sees.
        hidden: widths of its hidden layers.
        actions: number of its outputs.
    """

    def __init__(self, visible: int, hidden: Sequence[int], actions: int) -> None:
        super().__init__()
        self.visible, self.hidden, self.actions = visible, tuple(hidden), actions
        self.net = network(visible, hidden, actions, last_gain=0.01)

    def forward(self, observations: torch.Tensor) -> torch.Tensor:
        """(B, actions) of (B, d)."""
        means: torch.Tensor = self.net(observations[..., : self.visible])
        return means

    def act(self, seen: np.ndarray) -> np.ndarray:
        """The same with arrays, without gradients."""
        with torch.no_grad():
            return np.asarray(self(torch.as_tensor(seen, dtype=torch.float32)).numpy())


def save(actor: Actor, path: Path) -> None:
    """Write an actor's file."""
    shape = {"visible": actor.visible, "hidden": list(actor.hidden), "actions": actor.actions}
    torch.save({**shape, "state": {name: value.cpu() for name, value in actor.state_dict().items()}}, path)


def load(path: Path) -> Actor:
    """Read an actor's file. Raises one of :data:`.files.DAMAGE` where it is missing, corrupt or of something else."""
    stored = torch.load(path, map_location="cpu", weights_only=True)
    actor = Actor(stored["visible"], stored["hidden"], stored["actions"])
    actor.load_state_dict(stored["state"])
    return actor
