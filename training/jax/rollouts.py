"""Episodes as learners take them: what was seen and done, and how much better it was than expected."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from ..common.jax_algorithms import JaxSettings
from .actors import Actors, Recurrent, Weights, gru
from .markets import Episode, Markets
from .networks import ACTIVATIONS, Network, network, output
from .rules import Rule

Array: TypeAlias = jax.Array
_LAST_ACTOR, _LAST_CRITIC = 0.01, 1.0
"""gains of orthogonal weights of the last layers, those of stable-baselines3"""


class Networks(NamedTuple):
    """One agent's; with a leading axis those of several."""

    actor: Weights
    """from what it sees to the mean action"""
    critic: Network
    """from the observation to its value; empty without a critic"""


class Samples(NamedTuple):
    """A rollout as learners take it, S = K B samples on the second axis, markets faster than steps."""

    observations: Array
    """(L, S, d) what critics see"""
    seen: Array | None
    """(L, S, i) what actors see; None: the time alone"""
    actions: Array
    """(L, S, m)"""
    noise: Array
    """(L, S, m) the actions' standard normal numbers"""
    advantages: Array
    """(L, S)"""
    returns: Array
    """(L, S)"""


class Rollouts:
    """Plays episodes of the batch of markets.

    Args:
        markets: that are played.
        actors: of the L learners.
        settings: hyperparameters.
        rule: what the algorithm does.
    """

    def __init__(self, markets: Markets, actors: Actors, settings: JaxSettings, rule: Rule) -> None:
        self.markets, self.actors, self.settings, self.rule = markets, actors, settings, rule
        self.scheduled = markets.scheduled(actors)
        """True where actors see time alone"""
        self.step = np.repeat(np.arange(markets.steps), markets.count)
        """(S,) step of the episode of each sample"""
        self.activation = ACTIVATIONS[settings.activation_fn]
        self._names = jnp.asarray(markets.names if rule.shared else np.zeros((len(markets.sizes), 0)), jnp.float32)

    def networks(self, rng: np.random.Generator) -> Networks:
        """Everyone's networks at the start, on a leading axis."""
        each = [self._networks(rng, size) for size in self.markets.sizes]
        if self.rule.shared:  # the first of each role
            first = self.markets.names_of_roles()
            each = [own._replace(critic=each[i].critic) for own, i in zip(each, first, strict=True)]
        together: Networks = jax.tree.map(lambda *own: np.stack(own), *each)
        return together

    def _networks(self, rng: np.random.Generator, actions: int) -> Networks:
        actors, hidden, padded = self.actors, self.settings.net_arch, self.markets.padded
        inputs = actors.inputs if actors.recurrent is None else actors.recurrent
        layers = network(rng, (inputs, *hidden, actions), _LAST_ACTOR, padded)
        unit = None if actors.recurrent is None else gru(rng, actors.inputs, actors.recurrent)
        actor: Weights = layers if unit is None else Recurrent(unit, layers)
        if not self.rule.value:
            return Networks(actor, ())
        size = self.actors.history * self.markets.env.observation_size + self._names.shape[1]
        return Networks(actor, network(rng, (size, *hidden, 1), _LAST_CRITIC, 1))

    def schedules(self, actor: Weights) -> Array:
        """(L, K, m) mean actions of actors that see time alone."""
        times = self.markets.schedule_inputs()
        return jax.vmap(self.actors.means, in_axes=(0, None))(actor, times)

    def play(self, actor: Weights, key: Array, deviation: Array | float) -> tuple[Episode, Array]:
        """An episode, and the standard normal numbers (K, B, L, m) of its actions."""
        markets, draws = self.markets, self.markets.draw(key)
        if self.scheduled:
            episode = markets.play(draws, deviation, jnp.moveaxis(self.schedules(actor), 0, 1))
        else:
            start = self.actors.start(len(markets.sizes), markets.count)
            episode = markets.play(draws, deviation, lambda *now: self.actors.act(actor, *now), start)
        return episode, draws.actions * markets.own

    def samples(self, trained: Networks, key: Array, deviation: Array) -> Samples:
        """An episode as learners take it."""
        episode, noise = self.play(trained.actor, key, deviation)
        observed = jnp.moveaxis(episode.observations, 2, 0)
        seen = None if self.scheduled else flat(self.actors.last(observed[..., : self.actors.visible]))
        observed = self.actors.last(observed)
        rewards = jnp.moveaxis(episode.rewards, 2, 0)
        names = jnp.broadcast_to(self._names[:, None, None], (*observed.shape[:3], self._names.shape[1]))
        observed = jnp.concatenate([observed, names], axis=-1)
        advantages, returns = self._advantages(trained.critic, observed, rewards)
        return Samples(
            flat(observed),
            seen,
            flat(jnp.moveaxis(episode.means + deviation * noise, 2, 0)),
            flat(jnp.moveaxis(noise, 2, 0)),
            flat(advantages),
            flat(returns),
        )

    def _advantages(self, critic: Network, observed: Array, rewards: Array) -> tuple[Array, Array]:
        """Advantages and returns (L, K, B)."""
        if not self.rule.value:
            returns = self.estimates(rewards, 0 * rewards)
            return returns - returns.mean(axis=-1, keepdims=True), returns
        values = jax.vmap(self.values)(critic, observed)
        advantages = self.estimates(rewards, values)
        return advantages, advantages + values

    def values(self, critic: Network, observed: Array) -> Array:
        """(...) one learner's values of observations (..., d)."""
        return output(critic, observed, self.activation)[..., 0]

    def estimates(self, rewards: Array, values: Array) -> Array:
        """Generalised advantage estimates (L, K, B) of episodes that end with the rollout."""
        gamma, gae_lambda = self.settings.gamma, self.rule.gae_lambda
        after = jnp.concatenate([values[:, 1:], 0 * values[:, :1]], axis=1)
        surprises = rewards + gamma * after - values

        def back(later: Array, surprise: Array) -> tuple[Array, Array]:
            now = surprise + gamma * gae_lambda * later
            return now, now

        _, found = jax.lax.scan(back, 0 * surprises[:, 0], jnp.moveaxis(surprises, 1, 0), reverse=True)
        return jnp.moveaxis(found, 0, 1)


def flat(values: Array) -> Array:
    """(L, S, ...) of values (L, K, B, ...)."""
    result: Array = values.reshape(values.shape[0], -1, *values.shape[3:])
    return result
