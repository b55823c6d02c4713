"""Independent PPO in JAX: rollouts, updates and seeds in one compiled program. Needs the extra ``jax``.

:class:`~.trainer.Trainer` is the function-style core, ``init(seed)`` and ``run(state, iterations, total)``;
:class:`~.learners.JaxLearners` are the engine ``jax`` of run directories.
"""
