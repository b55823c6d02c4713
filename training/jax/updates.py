"""Gradient steps on a rollout: minibatches of PPO's loss and its kin, and natural steps."""

from __future__ import annotations

from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jax.scipy.sparse.linalg import cg

from .actors import Weights
from .networks import optimiser
from .rollouts import Networks, Rollouts, Samples

Array: TypeAlias = jax.Array
_TINY = 1e-8
"""added to the standard deviation of advantages, as by stable-baselines3"""
_SEARCHES = 20
"""iterations of conjugate gradients in a natural step"""


class Updates:
    """What learners do with a rollout.

    Args:
        rollouts: gives the samples.

    Raises:
        ValueError: an episode of all markets has too few steps, or markets, for minibatches.
    """

    def __init__(self, rollouts: Rollouts) -> None:
        self.rollouts, self.rule, self.settings = rollouts, rollouts.rule, rollouts.settings
        markets, parts = rollouts.markets, self.rule.minibatches
        self.drawn = markets.count if rollouts.actors.recurrent is not None else markets.steps * markets.count
        """number of what minibatches are drawn from: whole episodes of actors that remember, or single steps"""
        unit, least = ("markets", parts) if rollouts.actors.recurrent is not None else ("steps", 2 * parts)
        if self.drawn < least:
            where = "" if unit == "markets" else " in all markets of an episode"
            raise ValueError(f"markets: the algorithm needs at least {least} {unit}{where}, got {self.drawn}")
        self.size = self.drawn // parts
        self._optimiser = optimiser(self.settings.max_grad_norm)
        roles = np.array(markets.names_of_roles())
        self._roles = jnp.asarray((roles[:, None] == roles) / (roles[:, None] == roles).sum(axis=1), jnp.float32)

    def moments(self, trained: Networks) -> Any:
        """The optimiser's state at the start."""
        return tuple(jax.vmap(self._optimiser.init)(each) for each in self._parts(trained))

    def _parts(self, trained: Networks) -> tuple[Any, ...]:
        """What is optimised, in parts whose gradients are clipped one by one."""
        if self.rule.natural is not None:
            return (trained.critic,)
        return (trained.actor, trained.critic) if self.rule.shared else (trained,)

    def _joined(self, trained: Networks, parts: tuple[Any, ...]) -> Networks:
        if self.rule.natural is not None:
            return trained._replace(critic=parts[0])
        return Networks(*parts) if self.rule.shared else parts[0]

    def improved(
        self,
        trained: Networks,
        moments: Any,
        magnet: Weights | None,
        samples: Samples,
        key: Array,
        deviation: Array,
        rate: Array,
        natural_step: Array,
    ) -> tuple[Networks, Any]:
        """Everyone's networks, and their optimisers' state, after a rollout.

        Args:
            trained: the networks.
            moments: of their optimisers.
            magnet: the copy of the actors; None: there is none.
            samples: of the rollout.
            key: draws minibatches.
            deviation: of the actions.
            rate: learning rate.
            natural_step: length of natural steps.
        """
        if self.rule.natural is not None:
            moved = jax.tree.map(
                lambda old, way: old + natural_step * way,
                trained.actor,
                self.natural(trained.actor, samples, deviation),
            )
            trained = trained._replace(actor=moved)

        def update(now: tuple[Networks, Any], batch: Array) -> tuple[tuple[Networks, Any], None]:
            parts = self._parts(self.gradients(now[0], samples, batch, deviation, magnet))
            found = [jax.vmap(self._optimiser.update)(part, own) for part, own in zip(parts, now[1], strict=True)]
            moved = [
                jax.tree.map(lambda old, way: old + rate * way, old, way)
                for old, (way, _) in zip(self._parts(now[0]), found, strict=True)
            ]
            return (self._joined(now[0], tuple(moved)), tuple(own for _, own in found)), None

        (trained, moments), _ = jax.lax.scan(update, (trained, moments), self._batches(key))
        return trained, moments

    def _batches(self, key: Array) -> Array:
        """(updates, size) samples of all minibatches of all passes; what is left over is left out of a pass."""
        epochs, parts = self.rule.epochs, self.rule.minibatches
        if parts == 1:
            orders = jnp.broadcast_to(jnp.arange(self.drawn), (epochs, self.drawn))
        else:
            keys = jax.random.split(key, epochs)
            orders = jax.vmap(lambda own: jax.random.permutation(own, self.drawn))(keys)
        batches = orders[:, : self.size * parts].reshape(-1, self.size)
        if self.rollouts.actors.recurrent is None:
            return batches
        count = self.rollouts.markets.count
        episodes = batches[:, None] + count * jnp.arange(self.rollouts.markets.steps)[:, None]
        return episodes.reshape(len(batches), -1)

    def gradients(
        self, trained: Networks, samples: Samples, batch: Array, deviation: Array | float, magnet: Weights | None = None
    ) -> Networks:
        """Everyone's gradients on a minibatch (size,) of samples."""
        own: Samples = jax.tree.map(lambda each: each[:, batch], samples)
        step = jnp.asarray(self.rollouts.step)[batch]
        loss = jax.grad(self._loss)
        given = (trained, self.rollouts.markets.own, magnet, own)
        axes = jax.tree.map(lambda _: 0, given)
        gradients: Networks = jax.vmap(
            lambda layers, mask, reference, each: loss(layers, mask, reference, each, step, deviation),
            in_axes=axes,
        )(*given)
        if self.rule.shared:
            critic = jax.tree.map(lambda each: jnp.tensordot(self._roles, each, 1), gradients.critic)
            gradients = gradients._replace(critic=critic)
        return gradients

    def _loss(
        self, trained: Networks, mask: Array, magnet: Weights | None, own: Samples, step: Array, deviation: Array
    ) -> Array:
        """One agent's."""
        rule, total = self.rule, jnp.zeros(())
        if rule.natural is None:
            total = self._policy_loss(trained.actor, mask, magnet, own, step, deviation)
        if rule.value:
            error = own.returns - self.rollouts.values(trained.critic, own.observations)
            total = total + rule.value * (error * error).mean()
        return total

    def _policy_loss(
        self, actor: Weights, mask: Array, magnet: Weights | None, own: Samples, step: Array, deviation: Array
    ) -> Array:
        clip, mean = self.rule.clip, self._mean(actor, own.seen, step)
        distance = mask * (own.actions - mean) / deviation
        ratio = jnp.exp(0.5 * ((own.noise * own.noise).sum(axis=-1) - (distance * distance).sum(axis=-1)))
        advantages = self._normal(own.advantages)
        gained = advantages * ratio
        if clip is not None:
            gained = jnp.minimum(gained, advantages * jnp.clip(ratio, 1 - clip, 1 + clip))
        loss = -gained.mean()
        if magnet is not None:
            away = mask * (mean - self._mean(magnet, own.seen, step)) / deviation
            loss = loss + self.rule.magnet * 0.5 * (away * away).sum(axis=-1).mean()
        return loss

    def _normal(self, advantages: Array) -> Array:
        if not self.settings.normalize_advantage or len(advantages) < 2:
            return advantages
        return (advantages - advantages.mean()) / (advantages.std(ddof=1) + _TINY)

    def _mean(self, actor: Weights, seen: Array | None, step: Array) -> Array:
        """(S, m) one learner's mean actions; of actors that see time alone, from those at the K times of the grid."""
        if seen is None:
            return self.rollouts.actors.means(actor, self.rollouts.markets.schedule_inputs())[step]
        return self.rollouts.actors.means(actor, seen)

    def natural(self, actor: Weights, samples: Samples, deviation: Array | float) -> Weights:
        """Everyone's natural gradients: ``F^-1 g`` of the gradient ``g`` of the mean advantage and the Fisher
        information ``F`` of normal actions, the mean of ``J' J / deviation^2`` of the mean actions' Jacobian ``J``."""
        own = (samples.seen, samples.advantages, samples.noise)
        axes = jax.tree.map(lambda _: 0, own)
        found: Weights = jax.vmap(self._natural, in_axes=(0, 0, *axes, None))(
            actor, self.rollouts.markets.own, *own, deviation
        )
        return found

    def _natural(
        self, actor: Weights, mask: Array, seen: Array | None, advantages: Array, noise: Array, deviation: Array | float
    ) -> Weights:
        """One agent's."""
        markets = self.rollouts.markets
        pull = self._normal(advantages)[:, None] * noise
        inputs = seen
        if inputs is None:
            inputs, pull = markets.schedule_inputs(), pull.reshape(markets.steps, markets.count, -1).mean(axis=1)
        start, shaped = ravel_pytree(actor)

        def mean(numbers: Array) -> Array:
            return mask * self.rollouts.actors.means(shaped(numbers), inputs)

        _, forwards = jax.linearize(mean, start)
        backwards = jax.linear_transpose(forwards, start)

        def information(way: Array) -> Array:
            found: Array = backwards(forwards(way))[0] / len(inputs) + self.rule.damping * way
            return found

        way, _ = cg(  # type: ignore[no-untyped-call]
            information, backwards(pull)[0] / len(inputs), maxiter=_SEARCHES
        )
        result: Weights = shaped(deviation * way)
        return result
