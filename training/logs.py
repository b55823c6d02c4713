"""Logs of a training: evaluations without exploration, to be watched while it goes on.

TensorBoard always, in ``tensorboard/evaluation`` of the run directory; Weights & Biases and MLflow where they are asked
for. All have the same tags, :data:`~.standings.TAGS`, and count joint market steps. A result does not depend on logs.

``logs.json`` of the run directory remembers the runs of Weights & Biases and MLflow, which a resumed training
continues. Both write into the run directory (``wandb/``, ``mlflow.db``) unless their own environment variables say
otherwise: ``WANDB_MODE``, ``WANDB_DIR``, ``WANDB_PROJECT``; ``MLFLOW_TRACKING_URI``, ``MLFLOW_EXPERIMENT_NAME``.
"""

from __future__ import annotations

import logging
import os
import time
import uuid
import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from torch.utils.tensorboard import SummaryWriter

from ..envs import Game
from ..envs.names import unknown
from .common import files
from .common.extras import library
from .common.generators import generators, set_generators
from .common.log_threads import told_once
from .evaluation.standings import TAGS, Standing, tagged
from .run_config import RunConfig

_NAME, _EXTRA, _REMEMBERED = "makertaker", "logs", "logs.json"


def units(game: Game) -> str:
    """What the tags mean, and the scale of the learners' own rewards, in Markdown."""
    rows = [f"| `{tag}` | {meaning} |" for tag, meaning in TAGS.items()]
    own = [f"| {agent} | {game.payoff_unit(agent)!r} |" for agent in game.agents]
    return "\n".join(
        [
            "Steps are joint market steps; policies are evaluated without exploration.\n",
            *("| tag | |", "| --- | --- |", *rows, ""),
            "Rewards in the learners' own logs, such as `rollout/ep_rew_mean`, are in units of the game: times the "
            "agent's `payoff_unit` they are currency.\n",
            *("| agent | `payoff_unit` |", "| --- | --- |", *own),
        ]
    )


class Run(NamedTuple):
    """What a log says of its training once."""

    config: RunConfig
    name: str
    """of the run directory"""
    place: Path
    """where its files are written"""
    steps_done: int | None
    """joint market steps where a resumed training goes on; None: it begins"""

    def document(self) -> dict[str, Any]:
        """Its configuration, the units of the learners' rewards, and the equilibrium's message."""
        task = self.config.task
        scale = {agent: task.game.payoff_unit(agent) for agent in task.game.agents}
        return {**asdict(self.config), "payoff_unit": scale, "equilibrium": task.message}


class _Log(ABC):
    """Somewhere to write to."""

    libraries: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def require(cls) -> None:
        """Raises ImportError where a library is missing; the message says how to install it."""
        for name in cls.libraries:
            library(name, _EXTRA)

    @abstractmethod
    def __init__(self, run: Run, known: Mapping[str, Any] | None) -> None:
        """Open it; raises ValueError where that fails.

        Args:
            run: the training.
            known: what :meth:`remembered` said when the training began; None: nothing.
        """

    def remembered(self) -> dict[str, str] | None:
        """What a resumed training needs to continue this log."""
        return None

    @abstractmethod
    def write(self, step: int, numbers: Mapping[str, float]) -> None:
        """Put down the numbers of an evaluation."""

    @abstractmethod
    def close(self, failed: bool) -> None:
        """Write what is left; ``failed``: the training ended early."""


class _TensorBoard(_Log):
    def __init__(self, run: Run, known: Mapping[str, Any] | None) -> None:
        folder, done = run.place / "tensorboard" / "evaluation", run.steps_done
        files.check_nameable("tensorboard", folder)
        # what a killed training wrote after its last checkpoint is written again; its last evaluation in any case
        again = None if done is None else done + (done < run.config.timesteps)
        self._writer = SummaryWriter(str(folder), purge_step=again)
        if done is None:
            self._text("units", units(run.config.task.game))
            self._text("equilibrium", run.config.task.message)

    def _text(self, tag: str, content: str) -> None:
        self._writer.add_text(tag, content, 0)

    def write(self, step: int, numbers: Mapping[str, float]) -> None:
        for tag, value in numbers.items():
            self._writer.add_scalar(tag, value, step)
        self._writer.flush()

    def close(self, failed: bool) -> None:
        self._writer.close()


class _WandB(_Log):
    libraries = ("wandb",)
    _step = "joint_market_steps"

    def __init__(self, run: Run, known: Mapping[str, Any] | None) -> None:
        wandb = library("wandb", _EXTRA)
        self._known = dict(known or {"id": uuid.uuid4().hex[:8], "project": os.environ.get("WANDB_PROJECT") or _NAME})
        try:
            self._run = wandb.init(
                **self._known,
                name=run.name,
                dir=os.environ.get("WANDB_DIR") or str(run.place.absolute()),
                config=run.document(),
                allow_val_change=True,
                resume="allow",
                reinit="create_new",
                settings=wandb.Settings(console="off"),
            )
        except wandb.errors.Error as error:
            raise ValueError(
                f"log: wandb: {_line(error)}; WANDB_MODE=offline writes into the run directory, for 'wandb sync'"
            ) from error
        self._run.define_metric(self._step)
        self._run.define_metric("*", step_metric=self._step)

    def remembered(self) -> dict[str, str]:
        return self._known

    def write(self, step: int, numbers: Mapping[str, float]) -> None:
        self._run.log({self._step: step, **numbers})

    def close(self, failed: bool) -> None:
        self._run.finish(exit_code=int(failed))


class _MLflow(_Log):
    libraries = ("mlflow", "sqlalchemy", "alembic")
    _uri = "MLFLOW_TRACKING_URI"

    def __init__(self, run: Run, known: Mapping[str, Any] | None) -> None:
        self._mlflow = library("mlflow", _EXTRA)
        logging.getLogger("mlflow.store.db.utils").setLevel(logging.WARNING)  # it tells of each table
        uri = os.environ.get(self._uri) or f"sqlite:///{(run.place / 'mlflow.db').absolute()}"
        self._client: Any = self._mlflow.MlflowClient(tracking_uri=uri)
        try:
            self._id = str(known["run_id"]) if known else self._begin(run)
            self._client.update_run(self._id, status="RUNNING")
        except self._mlflow.exceptions.MlflowException as error:
            raise ValueError(f"log: mlflow at {uri}: {_line(error)}") from error

    def _begin(self, run: Run) -> str:
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or _NAME
        found = self._client.get_experiment_by_name(name)
        experiment = self._client.create_experiment(name) if found is None else found.experiment_id
        started = str(self._client.create_run(experiment, run_name=run.name).info.run_id)
        longest = self._mlflow.utils.validation.MAX_PARAM_VAL_LENGTH
        for key, value in files.flat(run.document()):
            self._client.log_param(started, key, value if len(value) <= longest else f"{value[: longest - 3]}...")
        return started

    def remembered(self) -> dict[str, str]:
        return {"run_id": self._id}

    def write(self, step: int, numbers: Mapping[str, float]) -> None:
        now = int(1000 * time.time())
        metrics = [self._mlflow.entities.Metric(tag, value, now, step) for tag, value in numbers.items()]
        self._client.log_batch(self._id, metrics=metrics)

    def close(self, failed: bool) -> None:
        self._client.set_terminated(self._id, "KILLED" if failed else "FINISHED")


_LOGS: dict[str, type[_Log]] = {"tensorboard": _TensorBoard, "wandb": _WandB, "mlflow": _MLflow}


def check(names: Sequence[str]) -> None:
    """Raises ValueError for an unknown log, and ImportError where its library is missing."""
    for name in names:
        if name not in _LOGS:
            raise unknown("log", name, _LOGS, some=True)
        _LOGS[name].require()


class Logs:
    """The open logs of a training. A log that fails while it trains is given up with a warning; the others go on."""

    def __init__(self, logs: Mapping[str, _Log]) -> None:
        self._logs = dict(logs)

    def write(self, step: int, standing: Standing) -> None:
        """Put down an evaluation after so many joint market steps."""
        numbers = tagged(standing)
        with _undisturbed():
            for name, log in list(self._logs.items()):
                with self._survived(name):
                    log.write(step, numbers)

    def close(self, failed: bool) -> None:
        """Close all of them; ``failed``: the training ended early."""
        for name, log in list(self._logs.items()):
            with self._survived(name):
                log.close(failed)

    @contextmanager
    def _survived(self, name: str) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # whatever another library and a network come up with
            self._logs.pop(name, None)
            warnings.warn(f"log: {name} is given up: {type(error).__name__}: {_line(error)}", UserWarning, stacklevel=4)


@contextmanager
def opened(run: Run, asked: Sequence[str] | None) -> Iterator[Logs]:
    """The logs of a training, open; TensorBoard is always one.

    Args:
        run: the training.
        asked: names beside TensorBoard; None: those that the training began with.

    Raises:
        ValueError: an unknown name, or a log cannot be opened.
        ImportError: a log's library is missing.
    """
    known = files.read_json(path) if (path := run.place / _REMEMBERED).is_file() else {}
    names = list(dict.fromkeys(["tensorboard", *(known if asked is None else asked)]))
    check(names)
    logs = Logs({})
    failed = True
    with told_once():
        try:
            with _undisturbed():
                for name in names:
                    logs._logs[name] = log = _LOGS[name](run, known.get(name))
                    if (found := log.remembered()) is not None:
                        known[name] = found
                        files.write_json(path, known)
            yield logs
            failed = False
        finally:
            logs.close(failed)


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Libraries may draw from the global generators; the training goes on as if they had not."""
    states = generators()
    try:
        yield
    finally:
        set_generators(states)


def _line(error: BaseException) -> str:
    """The first line of an error's message."""
    return next(iter(str(error).splitlines()), "")
