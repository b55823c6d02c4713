"""BenchMARL callbacks: exact NashConv over training, and settings that move as training goes on.

BenchMARL has no schedules of its own. These go into ``Experiment(..., callbacks=[...])`` and leave its algorithms as
they are. Needs BenchMARL; see :mod:`makertaker.training.benchmarl.task`.
"""

from __future__ import annotations

from typing import Any

try:
    from benchmarl.experiment import Callback
    from tensordict import TensorDictBase
except ModuleNotFoundError as error:  # pragma: no cover - depends on the installation
    raise ImportError(
        f"makertaker.training.benchmarl.callbacks needs {error.name}: pip install -r requirements-benchmarl.txt"
    ) from error

from ..common.hyperparameters import geometric
from ..evaluation.standings import Standing, Standings, tagged
from .task import MarketTask, policies


class NashConvHistory(Callback):  # type: ignore[misc]  # BenchMARL is untyped
    """Relative NashConv of the policies without exploration, on the schedules that they play on their common path.

    Every agent's gain, gap, distance and payoff stand beside, here and in BenchMARL's own logs, with the tags of
    :data:`~.standings.TAGS`, in which some of its loggers write ``_`` for ``/``. Steps there are, as of all numbers,
    BenchMARL's iterations.

    NashConv, the sum of all agents' gains by best responses, is taken over the sum of the equilibrium payoffs' sizes:
    exact for actors that see time only, in a game without noise.

    Args:
        every: joint market steps between two evaluations.

    Raises:
        ValueError: ``every`` is not positive, or the game is random.

    Examples:
        >>> from makertaker.training.benchmarl_callbacks import NashConvHistory
        >>> history = NashConvHistory(every=1280)  # frames; to be given to an Experiment among its callbacks
        >>> history.values  # filled as the experiment runs
        []
    """

    def __init__(self, every: int) -> None:
        super().__init__()
        if every < 1:
            raise ValueError(f"every: expected a positive number of joint market steps, got {every!r}")
        self.every = every
        self.values: list[tuple[int, float]] = []
        """(joint market steps learned from, relative NashConv)"""
        self.standings: list[tuple[int, Standing]] = []
        """the same with every agent's gain, gap, distance and payoff"""
        self._due = 0

    def on_setup(self) -> None:
        """Solve the game."""
        task: MarketTask = self.experiment.task
        if task.game.random:
            raise ValueError("task: expected a game without noise, whose schedules say everything; this one is random")
        self._standing = Standings(task)

    def on_batch_collected(self, batch: TensorDictBase) -> None:
        """Evaluate the policies from before this batch."""
        frames = self.experiment.total_frames - batch.numel()
        if frames >= self._due:
            self.measure(frames)
            _, found = self.standings[-1]
            self.experiment.logger.log(tagged(found), step=self.experiment.n_iters_performed)
            self._due += self.every

    def measure(self, frames: int) -> float:
        """Evaluate the current policies; to be called once more when the experiment has ended."""
        own: Any = policies(self.experiment)
        context = self._standing.context
        told = own if context is None else {agent: each.showing(context) for agent, each in own.items()}
        found = self._standing(told)
        self.values.append((frames, found.relative_nash_conv))
        self.standings.append((frames, found))
        return found.relative_nash_conv


class Anneal(Callback):  # type: ignore[misc]
    """Sets the learning rates of all optimisers, geometrically from a first to a last value over the training.

    Args:
        first: at the start.
        last: at the end.

    Raises:
        ValueError: a rate is not positive.

    Examples:
        >>> from makertaker.training.benchmarl_callbacks import Anneal
        >>> calm = Anneal(5e-3, 1e-4)  # to be given to an Experiment among its callbacks
        >>> calm.ends  # learning rates at the start and at the end
        (0.005, 0.0001)
    """

    def __init__(self, first: float, last: float) -> None:
        super().__init__()
        if not (first > 0 and last > 0):
            raise ValueError(f"learning rates: expected two positive numbers, got {first!r} and {last!r}")
        self.ends = (first, last)

    def on_batch_collected(self, batch: TensorDictBase) -> None:
        """Set the rates for the training on this batch."""
        experiment = self.experiment
        total = experiment.config.get_max_n_frames(experiment.on_policy)
        done = (experiment.total_frames - batch.numel()) / total
        rate = geometric(self.ends, done)
        for group in experiment.optimizers.values():
            for optimizer in group.values():
                for each in optimizer.param_groups:
                    each["lr"] = rate


__all__ = ["Anneal", "NashConvHistory"]
