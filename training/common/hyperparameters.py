"""Hyperparameters by name, those of PPO that do not depend on the library that learns, and schedules.

Names are those of stable-baselines3, whatever the library; the package's own are ``exploration``, ``minibatches`` (of a
rollout), ``replay_episodes`` (in place of a buffer's size) and ``critic_first``. What follows from the market, such as
the length of a rollout, is no hyperparameter. On-policy actors have no bonus on their entropy: their exploration
follows a schedule, which it would not change.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Self

from ...envs.names import unknown
from .ranges import checked

Table = Mapping[str, object]
"""hyperparameters by name, with values as in JSON or TOML"""


class Settings(ABC):
    """An algorithm with its hyperparameters, whichever library it comes from."""

    markets: int
    """number of markets played at once, where nothing else is asked for"""

    @abstractmethod
    def hyperparameters(self) -> dict[str, object]:
        """All of them but the number of markets, as JSON has them: lists, numbers, truth values, text, None."""

    def changed(self, values: Table, name: str) -> Self:
        """The same with other hyperparameters.

        Args:
            values: some of :meth:`hyperparameters`; a number in place of both ends of a schedule is constant.
            name: of the algorithm or agent, for messages.

        Raises:
            ValueError: a name is unknown, or a value is not one that it may have.
        """
        known = self.hyperparameters()
        for key in values:
            if key not in known:
                raise unknown("hyperparameter", key, known, f" of {name}", some=True)
        try:
            return self._with(values)
        except ValueError as error:
            raise ValueError(f"hyperparameter {name}.{error}") from error

    @abstractmethod
    def _with(self, values: Table) -> Self:
        """The same with other values of known names. Raises ValueError for one that a value may not have."""


@dataclass(frozen=True)
class FieldSettings(Settings):
    """Hyperparameters that are the fields of a dataclass, each checked by its name.

    Raises:
        ValueError: a value is out of its range.
    """

    def __post_init__(self) -> None:
        for each in fields(self):
            object.__setattr__(self, each.name, checked(each.name, getattr(self, each.name)))

    def hyperparameters(self) -> dict[str, object]:
        """See :meth:`Settings.hyperparameters`."""
        return {each.name: plain(getattr(self, each.name)) for each in fields(self) if each.name != "markets"}

    def _with(self, values: Table) -> Self:
        return replace(self, **values)


@dataclass(frozen=True)
class PPOSettings(FieldSettings):
    """Hyperparameters of PPO; :mod:`~makertaker.training.sb3.algorithms` says why they are not the usual defaults.

    Args:
        learning_rate: at the start and at the end.
        exploration: standard deviation at the start and at the end, in the game's control units.
        gamma: discount factor.
        gae_lambda: of generalised advantage estimation.
        n_epochs: passes over a rollout.
        minibatches: parts of a rollout in each pass.
        clip_range: of the probability ratio.
        vf_coef: weight of the critic's loss.
        max_grad_norm: norm at which gradients are clipped.
        net_arch: widths of the hidden layers, actor's and critic's.
        markets: number of markets played at once.

    Raises:
        ValueError: a value is out of its range.

    Examples:
        >>> from makertaker.training.common.hyperparameters import PPOSettings
        >>> PPOSettings(n_epochs=10).n_epochs
        10
    """

    learning_rate: tuple[float, float] = (5e-3, 1e-4)
    exploration: tuple[float, float] = (1.8, 0.15)
    gamma: float = 1.0
    gae_lambda: float = 1.0
    n_epochs: int = 5
    minibatches: int = 2
    clip_range: float = 0.2
    vf_coef: float = 0.5
    max_grad_norm: float = 0.5
    net_arch: tuple[int, ...] = (64, 64)
    markets: int = 64


PPO = PPOSettings()


def check_tables(tables: object) -> Mapping[str, Table]:
    """Tables of hyperparameters by name. Raises ValueError for what is not of this form."""
    if not isinstance(tables, Mapping) or not all(isinstance(each, Mapping) for each in tables.values()):
        raise ValueError(f"hyperparameters: expected tables, such as {{'ppo': {{'gamma': 0.99}}}}, got {tables!r}")
    return tables


def plain(value: object) -> object:
    """A value as JSON has it."""
    return list(value) if isinstance(value, tuple) else value


def geometric(ends: tuple[float, float], fraction: float) -> float:
    """From the first to the second of ``ends`` as ``fraction`` goes from 0 to 1."""
    start, end = ends
    return float(start * (end / start) ** min(max(fraction, 0.0), 1.0))
