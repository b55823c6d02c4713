"""Independent PPO of all agents as pure functions: ``state = init(seed)``, ``state = run(state, iterations, total)``.

An iteration is an episode of the batch of markets and the gradient steps that follow it. Loops over iterations, epochs
and minibatches are loops of one compiled program, and seeds are an axis of its arrays. Hyperparameters and schedules
mean what they mean with stable-baselines3 (:mod:`~makertaker.training.sb3.algorithms`); the differences are:

- what is left over where minibatches do not divide a rollout is left out of that pass;
- all agents of one seed take the same samples into a minibatch.

Actors that see time alone, in a game without factor, are evaluated at the K times of the grid in place of all samples,
and every critic once an episode: the same numbers for fewer operations.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from ...envs.parameters import check_count
from ..common.hyperparameters import NetworkPPOSettings
from .markets import Episode, Markets
from .networks import ACTIVATIONS, Networks, networks, optimiser, output

Array: TypeAlias = jax.Array
_TINY = 1e-8
"""added to the standard deviation of advantages, as by stable-baselines3"""


class TrainState(NamedTuple):
    """All that a training goes on from; vmapped over seeds, with a leading axis."""

    networks: Networks
    """of the L learners, on a leading axis"""
    moments: Any
    """of their optimisers"""
    key: Array
    """(2,) the seed's: the random numbers of an iteration follow from it and from the iteration's number"""
    iteration: Array
    """() iterations so far"""


class Samples(NamedTuple):
    """A rollout as learners take it, S = K B samples on the second axis."""

    observations: Array
    """(L, S, d)"""
    actions: Array
    """(L, S, m)"""
    surprise: Array
    """(L, S) sum of squared standard normal numbers of an action, from which its probability follows"""
    advantages: Array
    """(L, S)"""
    returns: Array
    """(L, S)"""
    step: Array
    """(S,) of the episode"""


class Trainer:
    """The learners of a batch of markets.

    Args:
        markets: that they play.
        settings: hyperparameters.
        visible: number of leading entries of an observation that actors see.

    Raises:
        ValueError: an episode of all markets has too few steps for minibatches.
    """

    def __init__(self, markets: Markets, settings: NetworkPPOSettings, visible: int) -> None:
        self.markets, self.settings, self.visible = markets, settings, visible
        self.size = markets.env.observation_size
        self.samples = markets.steps * markets.count
        least = 2 * settings.minibatches
        if self.samples < least:
            raise ValueError(
                f"markets: PPO needs at least {least} steps in all markets of an episode, got {self.samples}"
            )
        self.scheduled = visible == 1
        """True where actors see time alone"""
        self._activation = ACTIVATIONS[settings.activation_fn]
        self._optimiser = optimiser(settings.max_grad_norm)
        self.run = jax.jit(self._run)
        self.run_seeds = jax.jit(jax.vmap(self._run, in_axes=(0, None, None)))
        self.schedules = jax.jit(self._schedules)
        self.finite = jax.jit(jax.vmap(_is_finite))

    def init(self, seed: int) -> TrainState:
        """A training at its start. Raises ValueError unless the seed is a whole number of at least 0."""
        words, drawn = np.random.SeedSequence(check_count("seed", seed, least=0)).spawn(2)
        shape, rng = (self.visible, self.size, self.settings.net_arch), np.random.default_rng(drawn)
        each = [networks(rng, *shape, size, self.markets.padded) for size in self.markets.sizes]
        together: Networks = jax.tree.map(lambda *own: jnp.stack(own), *each)
        count = len(each)
        moments = jax.tree.map(
            lambda value: jnp.broadcast_to(value, (count, *value.shape)), self._optimiser.init(each[0])
        )
        key = jnp.asarray(words.generate_state(2, np.uint32))
        return TrainState(together, moments, key, jnp.zeros((), jnp.int32))

    def _run(self, state: TrainState, iterations: Array | int, total: Array | int) -> TrainState:
        """Some iterations of a training of ``total``. One program whatever their numbers: it does not matter to the
        result at which iterations a training is interrupted."""
        result: TrainState = jax.lax.fori_loop(0, iterations, lambda _, now: self._iteration(now, total), state)
        return result

    def _schedules(self, trained: Networks) -> Array:
        """(L, K, m) mean actions of actors that see time alone."""
        return self._over_agents(trained.actor, self.markets.schedule_inputs(), shared=True)

    def _over_agents(self, layers: Any, seen: Array, *, shared: bool = False) -> Array:
        act = partial(output, activation=self._activation)
        return jax.vmap(act, in_axes=(0, None if shared else 0))(layers, seen)

    def _iteration(self, state: TrainState, total: Array | int) -> TrainState:
        given, done = self.settings, state.iteration
        drawn, shuffled = jax.random.split(jax.random.fold_in(_as_key(state.key), done))
        deviation = _geometric(given.exploration, done / total)
        rate = _geometric(given.learning_rate, (done + 1) / total)
        samples = self._rollout(state.networks, drawn, deviation)
        size = self.samples // given.minibatches
        orders = jax.vmap(lambda key: jax.random.permutation(key, self.samples))(
            jax.random.split(shuffled, given.n_epochs)
        )
        batches = orders[:, : size * given.minibatches].reshape(-1, size)

        def update(now: tuple[Networks, Any], batch: Array) -> tuple[tuple[Networks, Any], None]:
            trained, moments = now
            gradients = self._gradients(trained, samples, batch, deviation)
            directions, moments = jax.vmap(self._optimiser.update)(gradients, moments)
            moved: Networks = jax.tree.map(lambda old, way: old + rate * way, trained, directions)
            return (moved, moments), None

        (trained, moments), _ = jax.lax.scan(update, (state.networks, state.moments), batches)
        return TrainState(trained, moments, state.key, done + 1)

    def _rollout(self, trained: Networks, key: Array, deviation: Array) -> Samples:
        markets, draws = self.markets, self.markets.draw(key)
        means: Array | Callable[[Array], Array]
        if self.scheduled:
            means = jnp.moveaxis(self._schedules(trained), 0, 1)
        else:
            means = lambda seen: self._over_agents(trained.actor, seen[..., : self.visible])  # noqa: E731
        episode = markets.play(draws, deviation, means)
        values = self._over_agents(trained.critic, by_agent(episode.observations))[..., 0]
        rewards = by_agent(episode.rewards)
        shape = rewards.shape[0], markets.steps, markets.count
        advantages = self._advantages(rewards.reshape(shape), values.reshape(shape)).reshape(values.shape)
        noise = draws.actions * markets.own
        return Samples(
            by_agent(episode.observations),
            by_agent(episode.means + deviation * noise),
            by_agent((noise * noise).sum(axis=-1)),
            advantages,
            advantages + values,
            jnp.repeat(jnp.arange(markets.steps), markets.count),
        )

    def _advantages(self, rewards: Array, values: Array) -> Array:
        """Generalised advantage estimates (L, K, B) of episodes that end with the rollout."""
        given = self.settings
        after = jnp.concatenate([values[:, 1:], 0 * values[:, :1]], axis=1)
        surprises = rewards + given.gamma * after - values

        def back(later: Array, surprise: Array) -> tuple[Array, Array]:
            now = surprise + given.gamma * given.gae_lambda * later
            return now, now

        _, found = jax.lax.scan(back, 0 * surprises[:, 0], jnp.moveaxis(surprises, 1, 0), reverse=True)
        return jnp.moveaxis(found, 0, 1)

    def _gradients(self, trained: Networks, samples: Samples, batch: Array, deviation: Array) -> Networks:
        """Everyone's gradients on a minibatch (size,) of samples."""
        own = [each[:, batch] for each in samples[:-1]]
        step = samples.step[batch]
        times = self.markets.schedule_inputs()

        def loss(layers: Networks, mask: Array, *given: Array) -> Array:
            seen, actions, surprise, advantages, returns = given
            if self.scheduled:
                mean = output(layers.actor, times, self._activation)[step]
            else:
                mean = output(layers.actor, seen[:, : self.visible], self._activation)
            distance = mask * (actions - mean) / deviation
            ratio = jnp.exp(0.5 * (surprise - (distance * distance).sum(axis=-1)))
            if self.settings.normalize_advantage and len(batch) > 1:
                advantages = (advantages - advantages.mean()) / (advantages.std(ddof=1) + _TINY)
            clip = self.settings.clip_range
            policy = -jnp.minimum(advantages * ratio, advantages * jnp.clip(ratio, 1 - clip, 1 + clip)).mean()
            error = returns - output(layers.critic, seen, self._activation)[:, 0]
            return policy + self.settings.vf_coef * (error * error).mean()

        gradients: Networks = jax.vmap(jax.grad(loss))(trained, self.markets.own, *own)
        return gradients


def by_agent(values: Array) -> Array:
    """(L, S, ...) of values (K, B, L, ...)."""
    moved: Array = jnp.moveaxis(values, 2, 0)
    flat: Array = moved.reshape(moved.shape[0], -1, *moved.shape[3:])
    return flat


def _as_key(words: Array) -> Array:
    """The key, of one kind whatever JAX's configuration."""
    key: Array = jax.random.wrap_key_data(words, impl="threefry2x32")
    return key


def _is_finite(trained: Networks) -> Array:
    """() True where all numbers of an agent's networks are finite."""
    return jnp.stack([jnp.isfinite(each).all() for each in jax.tree.leaves(trained)]).all()


def _geometric(ends: tuple[float, float], fraction: Array) -> Array:
    """See :func:`~.hyperparameters.geometric`."""
    start, end = ends
    return jnp.asarray(start * (end / start) ** jnp.clip(fraction, 0.0, 1.0), jnp.float32)


__all__ = ["Episode", "Samples", "TrainState", "Trainer"]
