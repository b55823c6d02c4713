"""Games as BenchMARL tasks: its IPPO, MAPPO, MASAC and the rest run on them unmodified, and are scored exactly.

    task = MarketTask("acas", observation="time")
    experiment = Experiment(task=task, algorithm_config=IppoConfig.get_from_yaml(), ...)
    experiment.run()
    exploitability(task.game, rollout(task.game, policies(experiment), task.steps).controls, task.steps)

The environment is :class:`~makertaker.envs.torchrl_env.TorchMarket`; groups of agents are the roles ``"trader"`` and
``"maker"``, or, with ``groups="agent"``, the agents themselves. MASAC wants the latter: its actors' loss is the mean of
a group's values at the joint action of the group's actors, all of which it moves, so that a group learns as a team and
makers in one group look for their common optimum. IPPO and MAPPO do not mix their agents' gains.

Observations: actors, and IPPO's critics, see the task's ``observation`` of their own agent; the critics
of MAPPO and MASAC see the whole state in its place, MASAC's also the actions of their own group, not of the other. With
``observation="time"`` IPPO's critic sees time only: a baseline and nothing more, from which nothing may be
bootstrapped, so that ``lmbda = 1`` is needed.

Changes of BenchMARL's settings, and their reasons (:mod:`makertaker.training.sb3.algorithms` says more):

- ``gamma = 1`` and ``lmbda = 1``: episodes are short and payoffs undiscounted.
- ``share_policy_params = False`` and ``share_param_critic = False``: agents of one role differ in their inventories and
  penalties, and do not share their payoffs.
- collected frames a whole number of episodes of all markets, ``steps * n_envs``.

Needs BenchMARL, which is tested with older TorchRL than the rest: ``pip install -r requirements-benchmarl.txt`` into a
virtual environment of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

try:
    import torch
    from benchmarl.environments import TaskClass
    from benchmarl.experiment import Experiment
    from tensordict import TensorDictBase
    from torchrl.data import Composite
    from torchrl.envs import EnvBase
except ModuleNotFoundError as error:  # pragma: no cover - depends on the installation
    raise ImportError(
        f"makertaker.training.benchmarl.task needs {error.name}: pip install -r requirements-benchmarl.txt"
    ) from error

from ...envs import Options, Policy
from ...envs.described import Described, describe
from ...envs.torchrl_env import Groups, TorchMarket
from ..task import Task


class MarketTask(Task, TaskClass):  # type: ignore[misc]  # BenchMARL is untyped
    """A game as a BenchMARL task.

    Args:
        game: a game, a scenario, its name, the path of its file, or a mapping of its contents; or random markets, with
            ``context=True`` for learners who see what was drawn. BenchMARL pickles the task, so that a game's functions
            must be picklable (no lambdas).
        options: of the environment. ``observation`` is what actors see: ``"time"`` (open loop, as in the paper),
            ``"own"``, ``"market"`` or ``"full"``.
        scenario: in place of a game.
        control_units: see :class:`~makertaker.envs.torchrl_env.TorchMarket`.
        payoff_units: see the same.
        groups: ``"role"`` or ``"agent"``: BenchMARL's groups are the roles, or every agent is one.
        state: True: centralised critics see the whole state; otherwise they see the observations of their group.
        name: of the task in logs; by default the scenario's, or the name of the game's environment.
        arguments: fields of :class:`~makertaker.envs.Options`, such as ``steps`` and ``observation``, and parameters
            of the game.

    Raises:
        ValueError: an argument is out of its range, or there is no such scenario.

    Examples:
        >>> from makertaker.training.benchmarl_task import MarketTask
        >>> task = MarketTask("acas", observation="time")
        >>> task.steps
        20
    """

    def __init__(
        self,
        game: Described | None = None,
        options: Options | None = None,
        *,
        scenario: Described | None = None,
        control_units: bool | None = None,
        payoff_units: bool | None = None,
        groups: Groups = "role",
        state: bool = True,
        name: str | None = None,
        **arguments: Any,
    ) -> None:
        found = describe(game, scenario, options, arguments)
        played = found.game if found.random is None else found.random
        Task.__init__(self, played, found.options.steps, random=True)
        flags = {"control_units": control_units, "payoff_units": payoff_units, "state": state}
        for option, value in flags.items():
            if not isinstance(value, bool) and (option == "state" or value is not None):
                raise ValueError(f"{option}: expected True or False, got {value!r}")
        config = {"game": played, "options": found.options, "groups": groups, **flags}
        TaskClass.__init__(self, name or found.name, config)
        self.market()  # refuses what is wrong with the others

    def market(
        self, num_envs: int = 1, *, seed: int | None = None, device: torch.device | str | int = "cpu"
    ) -> TorchMarket:
        """The environment, ``num_envs`` markets of it."""
        return TorchMarket(num_envs=num_envs, seed=seed, device=device, **self.config)

    def get_env_fun(
        self, num_envs: int, continuous_actions: bool, seed: int | None, device: torch.device | str | int
    ) -> Callable[[], EnvBase]:
        """A function that makes the environment. Raises ValueError for discrete actions."""
        if not continuous_actions:
            raise ValueError("continuous_actions: expected True, rates and quotes are real numbers; got False")
        return lambda: self.market(num_envs, seed=seed, device=device)

    def supports_continuous_actions(self) -> bool:
        """Yes."""
        return True

    def supports_discrete_actions(self) -> bool:
        """No."""
        return False

    def has_render(self, env: EnvBase) -> bool:
        """No."""
        return False

    def max_steps(self, env: EnvBase) -> int:
        """Number of steps of an episode."""
        return self.steps

    def group_map(self, env: EnvBase) -> dict[str, list[str]]:
        """Names of the agents by group."""
        return self.market().group_map

    def observation_spec(self, env: EnvBase) -> Composite:
        """``(group, "observation")`` of every group, without the batch axis."""
        spec = env.full_observation_spec_unbatched
        return Composite({group: spec[group].clone() for group in self.group_map(env)})

    def info_spec(self, env: EnvBase) -> Composite | None:
        """None."""
        return None

    def state_spec(self, env: EnvBase) -> Composite | None:
        """``"state"``, without the batch axis; None where centralised critics are not to see it."""
        if not self.config["state"]:
            return None
        return Composite({"state": env.full_observation_spec_unbatched["state"].clone()})

    def action_spec(self, env: EnvBase) -> Composite:
        """``(group, "action")`` of every group, without the batch axis."""
        return env.full_action_spec_unbatched

    def action_mask_spec(self, env: EnvBase) -> Composite | None:
        """None."""
        return None

    @staticmethod
    def env_name() -> str:
        """``"makertaker"``."""
        return "makertaker"


def policies(experiment: Experiment) -> dict[str, Policy]:
    """Each agent's current policy in an experiment on a :class:`MarketTask`, without exploration; it learns on.

    Recurrent ones remember; see :class:`~makertaker.envs.torchrl_env.ActorPolicy`, whose ``showing`` tells those of
    random markets what was drawn.

    Raises:
        ValueError: the experiment's task is another one.

    Examples:
        >>> from benchmarl.algorithms import IppoConfig
        >>> from benchmarl.experiment import Experiment, ExperimentConfig
        >>> from benchmarl.models.mlp import MlpConfig
        >>> from makertaker.training.benchmarl_task import MarketTask, policies
        >>> config = ExperimentConfig.get_from_yaml()
        >>> config.loggers, config.create_json, config.save_folder = [], False, None
        >>> task, algorithm = MarketTask("acas", observation="time"), IppoConfig.get_from_yaml()
        >>> experiment = Experiment(task, algorithm, MlpConfig.get_from_yaml(), seed=0, config=config)
        >>> sorted(policies(experiment))
        ['maker_0', 'maker_1', 'trader_0']
    """
    task = experiment.task
    if not isinstance(task, MarketTask):
        raise ValueError(f"experiment: expected one on a MarketTask, got {type(task).__name__}")
    device = torch.device(experiment.config.sampling_device)
    return task.market(device=device).policies(experiment.policy, _memory(experiment, device))


def _memory(experiment: Experiment, device: torch.device) -> TensorDictBase | None:
    """What recurrent models remember in the first step, of one market, on a device; None where there are none."""
    spec = experiment.test_env.observation_spec
    keys = [key for key in experiment.policy.in_keys if isinstance(key, tuple) and key[-1].startswith("_hidden")]
    return spec.zero().select(*keys)[0].to(device) if keys else None


__all__ = ["MarketTask", "policies"]
