"""Policy gradients of all agents as pure functions: ``state = init(seed)``, ``state = run(state, iterations, total)``.

An iteration is an episode of the batch of markets and the gradient steps that follow it. Loops over iterations, epochs
and minibatches are loops of one compiled program, and seeds are an axis of its arrays. Hyperparameters and schedules
mean what they mean with stable-baselines3 (:mod:`~makertaker.training.sb3.algorithms`); the differences are:

- what is left over where minibatches do not divide a rollout is left out of that pass;
- all agents of one seed take the same samples into a minibatch.

Actors that see time alone, in a game without factor, are evaluated at the K times of the grid in place of all samples,
and every critic once an episode: the same numbers for fewer operations. Minibatches of actors with a recurrent unit are
whole episodes; their critics, which see the state, have no unit.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from ...envs.parameters import check_count
from ..common.jax_algorithms import JaxSettings
from .actors import Actors, Weights
from .markets import Markets
from .rollouts import Networks, Rollouts
from .rules import rule
from .updates import Updates

Array: TypeAlias = jax.Array


class TrainState(NamedTuple):
    """All that a training goes on from; vmapped over seeds, with a leading axis."""

    networks: Networks
    """of the L learners, on a leading axis"""
    moments: Any
    """of their optimisers"""
    magnet: Weights | None
    """the slowly moving copy of the actors; None: the algorithm has none"""
    key: Array
    """(2,) the seed's: the random numbers of an iteration follow from it and from the iteration's number"""
    iteration: Array
    """() iterations so far"""


class Trainer:
    """The learners of a batch of markets.

    Args:
        markets: that they play.
        settings: hyperparameters.
        actors: what they see and remember.

    Raises:
        ValueError: an episode of all markets has too few steps for minibatches.
    """

    def __init__(self, markets: Markets, settings: JaxSettings, actors: Actors) -> None:
        self.markets, self.settings, self.actors = markets, settings, actors
        self.rule = rule(settings)
        self.rollouts = Rollouts(markets, actors, settings, self.rule)
        self.updates = Updates(self.rollouts)
        self._devices = cycle(jax.local_devices())
        self._moments = jax.jit(self.updates.moments)
        self.run = jax.jit(self._run)
        self.run_seeds = jax.jit(jax.vmap(self._run, in_axes=(0, None, None)))
        self.schedules = jax.jit(self.rollouts.schedules)

    def init(self, seed: int) -> TrainState:
        """A training at its start, on the next device where there are several. Raises ValueError unless the seed is a
        whole number of at least 0."""
        words, drawn = np.random.SeedSequence(check_count("seed", seed, least=0)).spawn(2)
        networks = self.rollouts.networks(np.random.default_rng(drawn))
        magnet = networks.actor if self.rule.magnet else None
        key = jnp.asarray(words.generate_state(2, np.uint32))
        state = TrainState(networks, self._moments(networks), magnet, key, jnp.zeros((), jnp.int32))
        placed: TrainState = jax.device_put(state, next(self._devices))
        return placed

    def run_together(
        self, states: Sequence[TrainState], iterations: int, total: int, device: jax.Device
    ) -> list[TrainState]:
        """:meth:`run` of many seeds as one axis of arrays, for accelerators; the result is on the host.

        Where the device's memory is not enough for all of them they are halved.
        """
        host = jax.device_get(list(states))
        try:
            stacked = jax.device_put(jax.tree.map(lambda *each: np.stack(each), *host), device)
            ended = jax.device_get(self.run_seeds(stacked, iterations, total))
        except jax.errors.JaxRuntimeError as error:
            if "RESOURCE_EXHAUSTED" not in str(error) or len(host) == 1:
                raise
            half = len(host) // 2
            return [
                *self.run_together(host[:half], iterations, total, device),
                *self.run_together(host[half:], iterations, total, device),
            ]
        return [jax.tree.map(lambda values, i=i: values[i], ended) for i in range(len(host))]

    def _run(self, state: TrainState, iterations: Array | int, total: Array | int) -> TrainState:
        """Some iterations of a training of ``total``. One program whatever their numbers: it does not matter to the
        result at which iterations a training is interrupted."""
        result: TrainState = jax.lax.fori_loop(0, iterations, lambda _, now: self._iteration(now, total), state)
        return result

    def _iteration(self, state: TrainState, total: Array | int) -> TrainState:
        given, done, magnet = self.settings, state.iteration, state.magnet
        drawn, shuffled = jax.random.split(jax.random.fold_in(_as_key(state.key), done))
        deviation = _geometric(given.exploration, done / total)
        rate = _geometric(given.learning_rate, (done + 1) / total)
        natural_step = _geometric(self.rule.natural or (1.0, 1.0), done / total)
        samples = self.rollouts.samples(state.networks, drawn, deviation)
        trained, moments = self.updates.improved(
            state.networks, state.moments, magnet, samples, shuffled, deviation, rate, natural_step
        )
        if magnet is not None:
            share = self.rule.magnet_rate
            magnet = jax.tree.map(lambda old, new: old + share * (new - old), magnet, trained.actor)
        return TrainState(trained, moments, magnet, state.key, done + 1)


def _as_key(words: Array) -> Array:
    """The key, of one kind whatever JAX's configuration."""
    key: Array = jax.random.wrap_key_data(words, impl="threefry2x32")
    return key


def _geometric(ends: tuple[float, float], fraction: Array) -> Array:
    """See :func:`~.hyperparameters.geometric`."""
    start, end = ends
    return jnp.asarray(start * (end / start) ** jnp.clip(fraction, 0.0, 1.0), jnp.float32)
