"""An algorithm of stable-baselines3 with its hyperparameters."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Self, get_args

import stable_baselines3
import torch
from sb3_contrib import TRPO, RecurrentPPO
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.policies import BasePolicy

from ...envs.names import suggestion, unknown
from ..common.hyperparameters import PPO, Settings, Table, plain
from ..common.ranges import ACTIVATIONS, checked
from .prefix_policies import PrefixRecurrentPolicy

Kind = Literal["on_policy", "entropy", "action_noise"]
_BUILT = frozenset(
    {
        *("policy", "env", "policy_kwargs", "learning_rate", "n_steps", "train_freq", "buffer_size", "seed", "device"),
        *("observation_space", "action_space", "lr_schedule", "visible", "history", "_init_setup_model", "self"),
        *("replay_buffer_class", "replay_buffer_kwargs", "action_noise", "verbose", "tensorboard_log"),
        *("target_entropy", "target_policy_noise", "target_noise_clip"),
        *("n_lstm_layers", "shared_lstm", "enable_critic_lstm", "lstm_kwargs"),
    }
)
"""arguments of a class or policy that follow from the market, the schedules and the training, or that a file of numbers
does not have"""


@dataclass(frozen=True)
class Algorithm(Settings):
    """An algorithm and its hyperparameters.

    A number in place of both ends of a schedule is constant::

        calm = dataclasses.replace(find("ppo"), learning_rate=1e-3, exploration=(0.9, 0.1))

    Args:
        model: the stable-baselines3 class.
        policy: its policy, with an actor that looks at a prefix of the observation.
        kind: of exploration: by ``log_std`` of an on-policy actor, by the target entropy, or by action noise.
        learning_rate: at the start and at the end.
        exploration: standard deviation at the start and at the end, in the game's control units. SAC and TQC follow it
            by adapting ``ent_coef``; with a number in its place they only begin with it.
        settings: keyword arguments of the class. Those that follow from the market or the schedules, such as
            ``n_steps``, ``buffer_size`` and ``target_entropy``, are none of them.
        network: keyword arguments of the policy; ``activation_fn`` is a name, such as ``"tanh"``, or a class.
        replay_episodes: episodes that an off-policy learner's replay buffer holds.
        critic_first: fraction of the training in which an off-policy learner's critic learns while its actor waits.
        minibatches: parts of a rollout in each pass of PPO, and of TRPO's critic.
        markets: number of markets played at once; one gradient step a rollout (A2C) asks for shorter rollouts.

    Raises:
        ValueError: a value is out of its range, or a keyword is not one of the class or policy.

    Examples:
        >>> from dataclasses import replace
        >>> from makertaker.training import Algorithm
        >>> from makertaker.training.sb3.algorithms import find
        >>> calm = replace(find("ppo"), learning_rate=1e-3, exploration=(0.9, 0.1))
        >>> isinstance(calm, Algorithm)
        True
    """

    model: type[BaseAlgorithm]
    policy: type[BasePolicy]
    kind: Kind
    learning_rate: tuple[float, float]
    exploration: tuple[float, float]
    settings: Mapping[str, Any] = field(default_factory=dict)
    network: Mapping[str, Any] = field(default_factory=dict)
    replay_episodes: int = 0
    critic_first: float = 0.0
    minibatches: int = PPO.minibatches
    markets: int = 64

    def __post_init__(self) -> None:
        for name, value, base in (("model", self.model, BaseAlgorithm), ("policy", self.policy, BasePolicy)):
            if not isinstance(value, type) or not issubclass(value, base):
                raise ValueError(f"{name}: expected a subclass of {base.__name__}, got {value!r}")
        if self.recurrent != issubclass(self.policy, PrefixRecurrentPolicy):
            wanted = "PrefixRecurrentPolicy with RecurrentPPO alone"
            raise ValueError(f"policy: expected a {wanted}, got {self.policy.__name__} with {self.model.__name__}")
        if self.kind not in get_args(Kind):
            raise unknown("kind", self.kind, get_args(Kind))
        for name in (*self._own(), "markets"):
            object.__setattr__(self, name, checked(name, getattr(self, name)))
        for name, owner in (("settings", self.model), ("network", self.policy)):
            object.__setattr__(self, name, self._checked(name, owner))
        if self.kind != "on_policy" and "gamma" not in self.settings:
            raise ValueError(f"settings: expected 'gamma' among them, got {list(self.settings)}")

        dropped, quantiles = self.settings.get("top_quantiles_to_drop_per_net", 0), self.network.get("n_quantiles")
        if quantiles is not None and dropped >= quantiles:
            raise ValueError(f"n_quantiles: expected more than the {dropped} that are dropped, got {quantiles}")

    @property
    def has_minibatches(self) -> bool:
        """True for PPO and TRPO, whose ``batch_size`` is a part of a rollout."""
        return issubclass(self.model, stable_baselines3.PPO | TRPO | RecurrentPPO)

    @property
    def recurrent(self) -> bool:
        """True if its networks remember what they saw."""
        return issubclass(self.model, RecurrentPPO)

    def hyperparameters(self) -> dict[str, object]:
        """See :meth:`~.hyperparameters.Settings.hyperparameters`."""
        own = {name: getattr(self, name) for name in self._own()}
        return {name: plain(value) for name, value in {**own, **self.settings, **self.network}.items()}

    def policy_keywords(self) -> dict[str, Any]:
        """The policy's keyword arguments, as it takes them."""
        keywords = {name: plain(value) for name, value in self.network.items()}
        activation = keywords.get("activation_fn")
        if isinstance(activation, str):
            keywords["activation_fn"] = getattr(torch.nn, ACTIVATIONS[activation])
        return keywords

    def _own(self) -> list[str]:
        """The fields that are hyperparameters themselves."""
        of_kind = ["minibatches"] if self.has_minibatches else []
        if self.kind != "on_policy":
            of_kind = ["replay_episodes", "critic_first"]
        return ["learning_rate", "exploration", *of_kind]

    def _with(self, values: Table) -> Self:
        own = {name: value for name, value in values.items() if name in self._own()}
        settings, network = (
            {**old, **{name: value for name, value in values.items() if name in old}}
            for old in (self.settings, self.network)
        )
        return replace(self, **own, settings=settings, network=network)  # type: ignore[arg-type]  # they are checked

    def _checked(self, name: str, owner: type) -> dict[str, object]:
        """The keyword arguments of a class as they are kept."""
        given, known = getattr(self, name), _keywords(owner) - _BUILT
        if self.has_minibatches:
            known -= {"batch_size"}
        for key in given:
            if key not in known:
                expected = f"{suggestion(key, known)}expected some of {sorted(known)}"
                raise ValueError(f"{name}: {owner.__name__} takes no {key!r} here: {expected}")
        return {key: self._value(key, value) for key, value in given.items()}

    def _value(self, key: str, value: object) -> object:
        if key == "net_arch" and isinstance(value, Mapping):
            parts = ["pi", "vf" if self.kind == "on_policy" else "qf"]
            if set(value) != set(parts):
                raise ValueError(f"net_arch: expected one list, or two of the names {parts}, got {value!r}")
            return {part: plain(checked(key, value[part])) for part in parts}
        if key == "target_kl" and value is None and issubclass(self.model, TRPO):
            raise ValueError(f"{key}: expected a number > 0, without which TRPO has no step, got None")
        return value if isinstance(value, type) else checked(key, value)


def _keywords(owner: type) -> set[str]:
    """Names of a class's arguments, with those that it passes on to its base."""
    found: set[str] = set()
    for each in owner.__mro__:
        if "__init__" in vars(each):
            parameters = inspect.signature(each.__init__).parameters.values()  # type: ignore[misc]
            found |= {one.name for one in parameters if one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY)}
            if all(one.kind is not one.VAR_KEYWORD for one in parameters):
                break
    return found
