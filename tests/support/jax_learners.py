"""A learner with the calls that JaxMARL's independent learners make of an environment, and no library but JAX."""

from __future__ import annotations

from typing import Any

import jax

jnp = jax.numpy
DEVIATION, RATE = 0.3, 0.5


def batchify(by_agent: Any, agents: Any) -> Any:
    """(agents * markets, size) of arrays (markets, .) by agent, filled up with zeros to one size."""
    size = max(by_agent[agent].shape[-1] for agent in agents)
    filled = [jnp.pad(by_agent[agent], ((0, 0), (0, size - by_agent[agent].shape[-1]))) for agent in agents]
    return jnp.concatenate(filled)


def unbatchify(joined: Any, agents: Any, markets: int) -> Any:
    """The inverse, but for what was filled up."""
    return dict(zip(agents, joined.reshape(len(agents), markets, -1), strict=True))


def shared_policy_gradient(env: Any, key: Any, *, markets: int, updates: int) -> Any:
    """Mean returns (updates, agents) while one linear policy of all agents follows its policy gradient.

    Actions are normal around ``w x`` with a fixed deviation; a step's score is weighted by the agent's rewards to come
    less their mean over the markets.
    """
    agents = env.agents
    size, width = env.observation_space(agents[0]).shape[0], env.action_space(agents[0]).shape[0]
    horizon = env.market.steps

    def mean(weights: Any, seen: Any) -> Any:
        return jnp.concatenate([seen, jnp.ones((len(seen), 1))], axis=-1) @ weights

    def rollout(weights: Any, key: Any) -> Any:
        def one(carry: Any, key: Any) -> Any:
            seen, state = carry
            own, of_markets = jax.random.split(key)
            seen = batchify(seen, agents)
            action = mean(weights, seen) + DEVIATION * jax.random.normal(own, (len(seen), width))
            after, state, reward, done, _ = jax.vmap(env.step)(
                jax.random.split(of_markets, markets), state, unbatchify(action, agents, markets)
            )
            rewards = jnp.stack([reward[agent] for agent in agents])
            return (after, state), (seen, action, rewards, done["__all__"])

        begin = jax.vmap(env.reset)(jax.random.split(key, markets))
        return jax.lax.scan(one, begin, jax.random.split(key, horizon))[1]

    def update(weights: Any, key: Any) -> Any:
        seen, action, rewards, done = rollout(weights, key)
        to_come = jnp.cumsum(rewards[::-1], axis=0)[::-1]
        advantage = (to_come - to_come.mean(axis=-1, keepdims=True)).reshape(horizon, -1)

        def loss(weights: Any) -> Any:
            score = -0.5 * (((action - jax.vmap(mean, (None, 0))(weights, seen)) / DEVIATION) ** 2).sum(axis=-1)
            return -(score * advantage).mean()

        gradient = jax.grad(loss)(weights)
        ended = done[-1].astype(rewards.dtype)  # a return counts where its episode has ended
        return weights - RATE * gradient, (rewards.sum(axis=0) * ended).mean(axis=-1)

    weights = jnp.zeros((size + 1, width))
    return jax.lax.scan(update, weights, jax.random.split(key, updates))[1]
