"""The learners of run directories: policy gradients of all agents in one compiled program.

A training that is resumed from a checkpoint ends bit for bit where an uninterrupted one would have: random numbers
follow from the seed and the number of the iteration. A checkpoint is numbers alone, ``state.safetensors`` and
``record.json``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from copy import copy
from pathlib import Path
from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np

from ...envs import Options, Policy
from ...envs.described import Described
from ...envs.market import Market
from ...envs.parameters import check_count
from ..common import checkpoint_folder
from ..common.actor import Actor, Gru, Layer
from ..common.files import DAMAGE
from ..common.information import Information, check_information, visible
from ..common.jax_algorithms import JAX_PPO, JaxSettings
from ..common.joint_market import Acting
from ..common.learners import Learners, diverged, learned_market, learning
from ..common.memory import NONE, check_use
from . import cache
from .actors import Actors, Recurrent
from .markets import Markets
from .trainer import Trainer, TrainState


@contextmanager
def _single() -> Iterator[None]:
    """Networks are of single precision, whatever JAX is configured for; where it computes in double, programs of both
    would not fit together. All of its digits count: by default devices with tensor cores keep ten bits in products."""
    with jax.enable_x64(False), jax.default_matmul_precision("highest"):
        yield


def is_accelerator(device: jax.Device) -> bool:
    """True for a GPU or the like, on which many small trainings are faster as one large one."""
    return bool(device.platform != "cpu")


class JaxLearners(Learners):
    """Policy gradients in JAX for every agent that does not follow a schedule.

    Args:
        game: the game; or a scenario, its name, the path of its file, or a mapping of its contents.
        options: of the markets; by default 20 steps an episode. Critics see everything; actions and rewards are in
            units of the game.
        algorithm: hyperparameters of all learners.
        information: of the actors.
        history: number of the last observations that actors and critics see; see :mod:`~.common.memory`.
        memory: ``"gru"``: actors have a gated recurrent unit as wide as their first hidden layer; critics, which see
            the state, have none.
        markets: number of markets played at once; by default the algorithm's own.
        seed: the result is a function of it and of the other arguments.
        fixed: schedules of the agents that do not learn.
        arguments: fields of :class:`~makertaker.envs.Options`, such as ``steps``, and parameters of the game.

    Raises:
        ValueError: an argument is out of its range.

    Examples:
        >>> from makertaker.training.common.jax_algorithms import find
        >>> from makertaker.training.jax.learners import JaxLearners
        >>> learners = JaxLearners("acas", algorithm=find("reinforce"), seed=3)
        >>> learners.learn(20_000)  # joint market steps
        >>> sorted(learners.policies())
        ['maker_0', 'maker_1', 'trader_0']
    """

    def __init__(
        self,
        game: Described,
        options: Options | None = None,
        *,
        algorithm: JaxSettings = JAX_PPO,
        information: Information = "time",
        history: int = 1,
        memory: str = NONE,
        markets: int | None = None,
        seed: int = 0,
        fixed: Mapping[str, Policy] | None = None,
        **arguments: Any,
    ) -> None:
        fixed = fixed or {}
        game, options, _, random = learned_market(game, options, arguments, fixed)
        count = check_count("markets", algorithm.markets if markets is None else markets)
        super().__init__(Market(game, options, random, batch=(count,)), fixed)
        if not self.agents:
            raise ValueError("expected at least one learner, got none")
        steps = self.market.steps
        self.information = check_information(information)
        check_use(game, steps, self.information, check_count("history", history), memory)
        if memory not in (NONE, "gru"):
            raise ValueError(f"memory: expected {NONE!r} or 'gru' in JAX, got {memory!r}")
        if memory != NONE and not algorithm.net_arch:
            raise ValueError("net_arch: expected a hidden layer, whose width is the recurrent unit's, got none")
        cache.use()
        with _single():
            played = Markets(random or game, self.market.options, count, learning(game, fixed), fixed)
            width = algorithm.net_arch[0] if memory == "gru" else None
            seen = visible(game, information, self.market.context)
            actors = Actors(seen, algorithm.activation_fn, played.steps, history, width)
            self.trainer = Trainer(played, algorithm, actors)
            self.state: TrainState = self.trainer.init(seed)
        (self._device,) = self.state.key.devices()

    def with_seed(self, seed: int) -> Self:
        """Fresh learners with another seed that share the compiled program."""
        result = copy(self)
        with _single():
            result.state = self.trainer.init(seed)
        (result._device,) = result.state.key.devices()
        return result

    @property
    def steps_done(self) -> int:
        """Joint market steps so far."""
        return int(self.state.iteration) * self.episode

    def acts(self) -> dict[str, Acting]:
        """Each learner's current actions, without exploration."""
        return {agent: each.acting for agent, each in self.numbers().items()}

    def numbers(self) -> dict[str, Actor]:
        """See :meth:`.Learners.numbers`; actions are truncated by the markets."""
        trained = jax.device_get(self.state.networks.actor)
        return {agent: self._numbers(i, agent, trained) for i, agent in enumerate(self.agents)}

    def _numbers(self, index: int, agent: str, trained: Any) -> Actor:
        space, size = self.market.action_space(agent), self.trainer.markets.sizes[index]
        stacked, gru = trained, None
        if isinstance(trained, Recurrent):
            stacked, gru = trained.layers, Gru(*(each[index].astype(float) for each in trained.gru))
        *inner, (weight, bias) = ((weight[index], bias[index]) for weight, bias in stacked)
        pairs = (*inner, (weight[:, :size], bias[:size]))
        layers = tuple(Layer(weight.T.astype(float), bias.astype(float)) for weight, bias in pairs)
        size_ = self.trainer.markets.env.observation_size
        shape = size_, self.trainer.actors.visible, self.trainer.settings.activation_fn
        return Actor(*shape, False, space.low, space.high, layers, gru, history=self.trainer.actors.history)

    def learn(
        self, timesteps: int, *, until: int | None = None, on_episode: Callable[[int], None] | None = None
    ) -> None:
        """See :meth:`.Learners.learn`."""
        check_count("timesteps", timesteps)
        target = self.iterations(timesteps if until is None else until)
        while (done := int(self.state.iteration)) < target:
            self.advance(1 if on_episode is not None else target - done, timesteps)
            if on_episode is not None:
                on_episode(self.steps_done)

    def iterations(self, timesteps: int) -> int:
        """Number of episodes of the batch that joint market steps are, rounded up."""
        return -(-timesteps // self.episode)

    def advance(self, iterations: int, timesteps: int) -> None:
        """Some episodes of the batch of a training of ``timesteps``, in one call of the program.

        Raises:
            FloatingPointError: a learner's network became NaN.
        """
        with _single():
            state = jax.device_put(self.state, self._device)
            self.state = self.trainer.run(state, iterations, self.iterations(timesteps))
        self._check_finite()

    @staticmethod
    def learn_together(
        learners: Sequence[Learners], timesteps: int, until: Sequence[int], threads: int | None = None
    ) -> list[FloatingPointError | None]:
        """See :meth:`.Learners.learn_together`; on an accelerator seeds are an axis of arrays, whose results are those
        of separate trainings up to rounding."""
        ours = [each for each in learners if isinstance(each, JaxLearners) and is_accelerator(each._device)]
        if len(ours) < len(learners):
            return Learners.learn_together(learners, timesteps, until, threads)
        groups: dict[tuple[int, int, jax.Device], list[JaxLearners]] = {}
        for each, end in zip(ours, until, strict=True):
            done, target = int(each.state.iteration), each.iterations(end)
            if done < target:
                groups.setdefault((target - done, done, each._device), []).append(each)

        def train(key: tuple[int, int, jax.Device]) -> None:
            (iterations, _done, device), group = key, groups[key]
            trainer, total = group[0].trainer, group[0].iterations(timesteps)
            with _single():
                states = trainer.run_together([each.state for each in group], iterations, total, device)
            for each, state in zip(group, states, strict=True):
                each.state = state

        with ThreadPoolExecutor(len(groups) or 1) as pool:  # a thread for each device
            list(pool.map(train, groups))
        return [each._divergence() for each in ours]

    @property
    def finite(self) -> bool:
        """True where all networks are finite."""
        return bool(self._finite().all())

    def _finite(self) -> np.ndarray:
        """(L,) by learner."""
        numbers = jax.tree.leaves(jax.device_get(self.state.networks))
        found = [np.isfinite(each).all(axis=tuple(range(1, each.ndim))) for each in numbers]
        return np.asarray(np.all(found, axis=0))

    def _check_finite(self) -> None:
        if (error := self._divergence()) is not None:
            raise error

    def _divergence(self) -> FloatingPointError | None:
        """The error to raise, of the first learner whose network is not finite."""
        broken = (agent for agent, finite in zip(self.agents, self._finite(), strict=True) if not finite)
        return next(map(diverged, broken), None)

    def save_models(self, folder: Path) -> None:
        """See :meth:`.Learners.save_models`; there is nothing else to save."""
        super().save_models(folder)

    def save_checkpoint(self, folder: Path, extra: Mapping[str, object] | None = None) -> None:
        """See :meth:`.Learners.save_checkpoint`."""
        state: checkpoint_folder.State = {"extra": dict(extra or {}), "steps_done": self.steps_done}
        with checkpoint_folder.replaced(folder, state, self._arrays()) as fresh:
            self.save_models(fresh)

    def load_checkpoint(self, folder: Path) -> dict[str, object]:
        """See :meth:`.Learners.load_checkpoint`: numbers and text, nothing in them is run."""
        state, arrays = checkpoint_folder.stored_numbers(folder)
        try:
            expected, given = ({name: _kind(each) for name, each in all_.items()} for all_ in (self._arrays(), arrays))
            for name in (*expected, *given):
                if given.get(name) != expected.get(name):
                    raise ValueError(f"{name}: expected {expected.get(name)}, got {given.get(name)}")
            _, shape = jax.tree.flatten(self.state)
            with _single():
                stored = jax.tree.unflatten(shape, [jnp.asarray(arrays[name]) for name in expected])
                self.state = jax.device_put(stored, self._device)
            if self.steps_done != state["steps_done"]:
                raise ValueError(f"expected {state['steps_done']} joint market steps, got {self.steps_done}")
        except DAMAGE as error:
            raise checkpoint_folder.corrupt(folder, error) from error
        return state["extra"]

    def _arrays(self) -> dict[str, np.ndarray]:
        """All that a training goes on from, by name."""
        leaves, _ = jax.tree.flatten_with_path(self.state)
        return {jax.tree_util.keystr(path, simple=True, separator="."): np.asarray(each) for path, each in leaves}


def _kind(array: np.ndarray) -> str:
    """Number type and shape, for comparisons and messages."""
    return f"{array.dtype} {array.shape}"
