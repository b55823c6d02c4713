"""Learners of all agents at once, whichever library they come from."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ...envs import Game, Options, Policy
from ...envs.described import Described, Description, describe
from ...envs.market import Market
from ...envs.observation import Kind
from .actor import Actor
from .extras import needed
from .joint_market import Acting, everyone


def learning(game: Game, fixed: Mapping[str, Policy]) -> list[str]:
    """Names of the agents that do not follow a fixed policy."""
    return [agent for agent in game.agents if agent not in fixed]


def diverged(agent: str) -> FloatingPointError:
    """The error to raise for a learner whose network, or whose actions, are not finite any more."""
    return FloatingPointError(
        f"{agent}'s network is not finite: its learning has diverged; a lower learning_rate or max_grad_norm may help "
        "(--hp)"
    )


def learned_market(
    game: Described, options: Options | None, arguments: Mapping[str, Any], fixed: Mapping[str, Policy]
) -> Description:
    """The market that learners play, who see what is drawn of random ones.

    Args:
        game: the game, or random markets, or a description of either.
        options: of the market.
        arguments: fields of options, and parameters of the game.
        fixed: policies of the agents that do not learn.

    Raises:
        ValueError: an option is not the learners' to choose, or somebody follows a schedule in random markets.
    """
    found = describe(game, None, options, arguments)
    if found.random is not None and fixed:
        raise ValueError(
            f"fixed: expected everybody to learn in random markets, each of which has an equilibrium of its own, got "
            f"policies of {sorted(fixed)}"
        )
    played = _learners_options(found.options)
    return found._replace(options=played if found.random is None else replace(played, context=True))


def _learners_options(options: Options) -> Options:
    """The options of markets that learners play. Raises ValueError where one is not the learners' to choose."""
    if options.kind != "full" or options.actions != "controls" or not options.in_game_units or options.identity:
        raise ValueError(
            "options: expected observation='full', since critics see everything and `information` is the actors', "
            f"units='game', without normalize, and identity=False, got {options!r}"
        )
    return options


class Learners(ABC):
    """A learner for every agent that does not follow a fixed policy.

    A context: leaving it closes the learners.

    Args:
        market: the batch of markets that they play.
        fixed: policies of the agents that do not learn.
    """

    information: Kind | None = None
    """of the actors; None: all that the market shows"""

    def __init__(self, market: Market, fixed: Mapping[str, Policy]) -> None:
        self.game, self.market, self.fixed = market.game, market, dict(fixed)
        self.agents = learning(market.game, fixed)
        self._opened = ExitStack()

    def __enter__(self) -> Learners:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Release processes."""
        self._opened.close()

    @property
    def episode(self) -> int:
        """Joint market steps of one episode of the batch."""
        return self.market.steps * self.market.batch[0]

    def with_seed(self, seed: int) -> Learners:
        """Fresh learners with another seed that share what was compiled. Raises NotImplementedError where an engine
        trains one seed at a time."""
        raise NotImplementedError(f"{type(self).__name__} trains one seed at a time")

    @property
    def finite(self) -> bool:
        """True where no learner is known to have diverged."""
        return True

    def policies(self, context: np.ndarray | None = None) -> dict[str, Policy]:
        """Every agent's current policy, learners without exploration.

        Args:
            context: (..., D) what was drawn, in random markets.
        """
        setting = self.market if context is None else self.market.showing(context)
        return everyone(setting, self.acts(), self.fixed, self.information)

    @property
    @abstractmethod
    def steps_done(self) -> int:
        """Joint market steps so far."""

    @abstractmethod
    def acts(self) -> Mapping[str, Acting]:
        """Each learner's current actions, without exploration: those of :meth:`numbers`, where there are some."""

    @abstractmethod
    def numbers(self) -> Mapping[str, Actor | None]:
        """Each learner's current actor as numbers; None for one that is no plain network."""

    @abstractmethod
    def learn(
        self, timesteps: int, *, until: int | None = None, on_episode: Callable[[int], None] | None = None
    ) -> None:
        """Learn for ``timesteps`` joint market steps in all, rounded up to whole episodes of the batch.

        Args:
            timesteps: length of the whole training, to which schedules refer.
            until: stop after as many instead; a later call continues.
            on_episode: called after every episode of the batch with the number of joint market steps so far.

        Raises:
            ValueError: ``timesteps`` is not a positive whole number, or not that of the constructor where it has one.
            FloatingPointError: a learner's actions or network became NaN.
        """

    @staticmethod
    def learn_together(
        learners: Sequence[Learners], timesteps: int, until: Sequence[int], threads: int | None = None
    ) -> list[FloatingPointError | None]:
        """Go on with trainings that differ in their seeds alone, each as :meth:`learn` does.

        Args:
            learners: of each.
            timesteps: length of each whole training.
            until: joint market steps at which each stops.
            threads: that train at once; None: as many as there are processors.

        Returns:
            the error of each that diverged.
        """
        with ThreadPoolExecutor(threads or os.cpu_count()) as pool:
            return list(pool.map(lambda each, end: each.learned(timesteps, end), learners, until))

    def learned(self, timesteps: int, until: int) -> FloatingPointError | None:
        """:meth:`learn` until then; its error where it diverged."""
        try:
            self.learn(timesteps, until=until)
        except FloatingPointError as error:
            return error
        return None

    def save_models(self, folder: Path) -> None:
        """Write a file of numbers for each learner, which the engine's ``load`` reads; see :mod:`.actor_file`.

        Raises:
            FloatingPointError: a number is not finite.
        """
        files = needed("common.actor_file", "train")
        for agent, actor in self.numbers().items():
            path = folder / f"{agent}.{files.SUFFIX}"
            if actor is None:
                path.unlink(missing_ok=True)  # it would be an earlier one's
            else:
                files.write(actor, path)

    @abstractmethod
    def save_checkpoint(self, folder: Path, extra: Mapping[str, object] | None = None) -> None:
        """Write the checkpoint to resume from; ``extra`` is kept beside.

        An interrupt leaves the older checkpoint, or the new one, whole.
        """

    @abstractmethod
    def load_checkpoint(self, folder: Path) -> dict[str, object]:
        """Resume from a checkpoint of learners with the same arguments; returns its ``extra``.

        Raises:
            ValueError: there is no checkpoint, it is corrupt, or it belongs to other learners.
        """
