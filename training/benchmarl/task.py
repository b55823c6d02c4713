"""Games as BenchMARL tasks: its IPPO, MAPPO, MASAC and the rest run on them unmodified, and are scored exactly.

    task = MarketTask("acas", observation="time")
    experiment = Experiment(task=task, algorithm_config=IppoConfig.get_from_yaml(), ...)
    experiment.run()
    exploitability(task.game, rollout(task.game, policies(experiment), task.steps).controls, task.steps)

The environment is :class:`~makertaker.envs.torchrl_env.TorchMarket`; groups of agents are the roles ``"trader"`` and
``"maker"``, or, with ``groups="agent"``, the agents themselves. MASAC wants the latter: its actors' loss is the mean of
a group's values at the joint action of the group's actors, all of which it moves, so that a group learns as a team and
makers in one group look for what is best for them together. IPPO and MAPPO do not mix their agents' gains.

Who sees what: actors, and IPPO's critics, see the task's ``observation`` of their own agent; the critics
of MAPPO and MASAC see the whole state in its place, MASAC's also the actions of their own group, not of the other. With
``observation="time"`` IPPO's critic sees time only: a baseline and nothing more, from which nothing may be
bootstrapped, so that ``lmbda = 1`` is needed.

What to change in BenchMARL's settings, and why (:mod:`makertaker.training.sb3.algorithms` says more):

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
    from torchrl.data import Composite
    from torchrl.envs import EnvBase
except ModuleNotFoundError as error:  # pragma: no cover - depends on the installation
    raise ImportError(
        f"makertaker.training.benchmarl.task needs {error.name}: pip install -r requirements-benchmarl.txt"
    ) from error

from ...envs.actions import Range
from ...envs.game import Game
from ...envs.grid import Policy
from ...envs.observation import Kind
from ...envs.options import Reward
from ...envs.scenarios import read_scenario
from ...envs.torchrl_env import Groups, TorchMarket


class MarketTask(TaskClass):  # type: ignore[misc]  # BenchMARL is untyped
    """A game as a BenchMARL task.

    Args:
        game: a game, a scenario's name or the path of its file. BenchMARL pickles the task, so that a game's functions
            must be picklable (no lambdas).
        steps: number of steps of an episode; by default the scenario's, 100 for a game.
        observation: what actors see: ``"time"`` (open loop, as in the paper), ``"own"`` or ``"full"``; see
            :mod:`makertaker.envs.observation`.
        reward: ``"payoff"`` or ``"wealth"``.
        control_units: whether actions count from the middle of the action range in the game's control units, so that
            one initial exploration suits everybody; otherwise they are in [-1, 1].
        payoff_units: whether rewards are in the game's payoff units, so that one critic's learning rate suits
            everybody; otherwise in currency.
        groups: ``"role"`` or ``"agent"``: BenchMARL's groups are the roles, or every agent is one.
        state: whether centralised critics see the whole state; otherwise they see the observations of their group.
        rate_range: overrides the game's range of rates.
        quote_range: overrides the game's range of quotes.
        name: of the task in logs; by default the scenario's, or the name of the game's environment.

    Raises:
        ValueError: an argument is out of its range, or there is no such scenario.
    """

    def __init__(
        self,
        game: Game | str,
        *,
        steps: int | None = None,
        observation: Kind = "full",
        reward: Reward = "payoff",
        control_units: bool = True,
        payoff_units: bool = True,
        groups: Groups = "role",
        state: bool = True,
        rate_range: Range = None,
        quote_range: Range = None,
        name: str | None = None,
    ) -> None:
        if isinstance(game, str):
            scenario = read_scenario(game)
            name, steps, game = name or scenario.name, scenario.steps if steps is None else steps, scenario.game
        if not isinstance(game, Game):
            raise ValueError(f"game: expected a game or a scenario's name, got {game!r}")
        config = {
            "steps": 100 if steps is None else steps,
            "observation": observation,
            "reward": reward,
            "control_units": control_units,
            "payoff_units": payoff_units,
            "groups": groups,
            "state": state,
            "rate_range": rate_range,
            "quote_range": quote_range,
        }
        super().__init__(name or game.environment, {"game": game, **config})
        for option, value in (("control_units", control_units), ("payoff_units", payoff_units), ("state", state)):
            if not isinstance(value, bool):
                raise ValueError(f"{option}: expected True or False, got {value!r}")
        self.market()  # refuses what is wrong with the others

    @property
    def game(self) -> Game:
        """The game that is played."""
        game: Game = self.config["game"]
        return game

    @property
    def steps(self) -> int:
        """Number of steps of an episode."""
        steps: int = self.config["steps"]
        return steps

    def market(self, num_envs: int = 1, *, seed: int | None = None, device: Any = "cpu") -> TorchMarket:
        """The environment, ``num_envs`` markets of it."""
        return TorchMarket(num_envs=num_envs, seed=seed, device=device, **self.config)

    def get_env_fun(
        self, num_envs: int, continuous_actions: bool, seed: int | None, device: Any
    ) -> Callable[[], EnvBase]:
        """What makes the environment. Raises ValueError for discrete actions."""
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
    """By agent what an experiment on a :class:`MarketTask` plays now without exploration; not copied, it learns on.

    Raises:
        ValueError: the experiment's task is another one.
    """
    task = experiment.task
    if not isinstance(task, MarketTask):
        raise ValueError(f"experiment: expected one on a MarketTask, got {type(task).__name__}")
    device = torch.device(experiment.config.sampling_device)
    return task.market(device=device).policies(experiment.policy)


__all__ = ["MarketTask", "policies"]
