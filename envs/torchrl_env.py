"""Games as batched TorchRL environments: many markets in one tensor, on any device, agents grouped by role.

The dynamics are those of :func:`~makertaker.envs.grid.step` on tensors. A tensordict of batch size ``(B,)`` holds, for
each role (``"trader"``, and ``"maker"`` in a game that has makers), a tensordict of batch size (B, N) or (B, M), as
TorchRL's other multi-agent environments do: ``(role, "observation")`` (B, N, size), ``(role, "action")`` (B, N, 1) or
(B, M, 2) and ``(role, "reward")`` (B, N, 1); the state is beside them. Markets have a common clock, end together and
are reset together. Needs TorchRL 0.11 or later: ``pip install 'makertaker[torchrl]'``.

Learners that take one learning rate and one exploration for everybody want ``control_units=True, payoff_units=True``:
actions then count from the middle of the action range in units of ``game.control_unit``, rewards in units of
``game.payoff_unit``. :meth:`TorchMarket.policies` turns what was learned back into policies in physical units.

    env = TorchMarket(load_scenario("acas"), num_envs=64, steps=20)
    rollout = env.rollout(20)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, Unpack

import numpy as np

try:
    import torch
    from tensordict import TensorDict, TensorDictBase
    from torchrl.data import Bounded, Categorical, Composite, Unbounded
    from torchrl.envs import EnvBase
    from torchrl.envs.utils import ExplorationType, set_exploration_type
except ModuleNotFoundError as error:  # pragma: no cover - depends on the installation
    raise ImportError(f"makertaker.envs.torchrl_env needs {error.name}: pip install 'makertaker[torchrl]'") from error

from .game import Controls, Game
from .grid import Policy, State, advance
from .noise import Noise, scaled
from .observation import LIMIT
from .options import Fields, Options, merged
from .packing import agent_controls, agent_index
from .parameters import check_count
from .roles import RoleView

Groups = Literal["role", "agent"]


class TorchMarket(EnvBase):  # type: ignore[misc]  # TorchRL is untyped
    """A batch of markets.

    Args:
        game: the game; with a factor, its functions must work on tensors (the named ones do).
        num_envs: number ``B`` of markets.
        options: of the environment; initial inventories are not random.
        control_units: whether actions count from the middle of the action range in the game's control units; they are
            truncated at the ends of the range. Needs ``normalize``.
        payoff_units: whether rewards are in the game's payoff units rather than in currency.
        groups: ``"role"``: agents of a role side by side, as above; ``"agent"``: a group of its own for each, under its
            name, so that entries are (B, 1, .), for algorithms that take a group for a team.
        state: whether there is an entry ``"state"`` (B, 1 + d + n + 2M), what observations are made of, for critics
            that see everything.
        dtype: of the state and of all entries.
        device: of the tensors.
        seed: of the noise.
        fields: of :class:`.Options`.

    Raises:
        ValueError: an argument is out of its range, ``control_units`` comes without ``normalize``, a step is asked for
            after the end, or a reset of some markets only.
    """

    def __init__(
        self,
        game: Game,
        num_envs: int = 1,
        options: Options | None = None,
        *,
        control_units: bool = False,
        payoff_units: bool = False,
        groups: Groups = "role",
        state: bool = False,
        dtype: torch.dtype = torch.float32,
        device: Any = "cpu",
        seed: int | None = None,
        **fields: Unpack[Fields],
    ) -> None:
        options = merged(options, **fields)
        check_count("num_envs", num_envs)
        if control_units and not options.normalize:
            raise ValueError("control_units: expected normalize=True with it, got normalize=False")
        if groups not in ("role", "agent"):
            raise ValueError(f"groups: expected 'role' or 'agent', got {groups!r}")
        super().__init__(device=torch.device(device), batch_size=torch.Size([num_envs]))
        kind: dict[str, Any] = {"dtype": dtype, "device": self.device}
        like = torch.zeros((), **kind)
        self.view = RoleView(game, options).like(like)
        self.game, self.steps, self.dtype = game, options.steps, dtype
        names = self.view.names
        self._places = self._place_groups(groups)
        self._units = (
            {role: torch.as_tensor(self.view.control_units(role), **kind) for role in names} if control_units else {}
        )
        self._payoff_unit: torch.Tensor | None = None
        if payoff_units:
            self._payoff_unit = torch.as_tensor([game.payoff_unit(agent) for agent in game.agents], **kind)
        self._with_state = state
        coefficients = game.coefficients(self.view.times)
        self._coefficients = [coefficients.at(k).like(like) for k in range(self.steps)]
        self._start = torch.as_tensor(game.start, **kind)
        self._factor = torch.as_tensor([] if game.factor is None else game.factor.initial, **kind)
        self._generator = torch.Generator(device=self.device)
        self._set_seed(seed)
        self._make_specs()

    def _place_groups(self, groups: Groups) -> dict[str, tuple[str, slice]]:
        """Where each group stands: its role, and which of the role's agents it has."""
        if groups == "role":
            return {role: (role, slice(None)) for role in self.view.names}
        return {
            agent: (role, slice(j, j + 1)) for role in self.view.names for j, agent in enumerate(self.view.agents(role))
        }

    @property
    def group_map(self) -> dict[str, list[str]]:
        """Names of the agents of each group, in the order of its entries."""
        return {group: list(self.view.agents(role)[part]) for group, (role, part) in self._places.items()}

    def _make_specs(self) -> None:
        view, batch = self.view, self.batch_size
        options: dict[str, Any] = {"device": self.device, "dtype": self.dtype}

        def by_group(make: Any) -> Composite:
            counts = {group: len(agents) for group, agents in self.group_map.items()}
            parts = {group: Composite(make(group, n), shape=(*batch, n)) for group, n in counts.items()}
            return Composite(parts, shape=batch)

        def observed(group: str, count: int) -> dict[str, Any]:
            return {"observation": Bounded(-LIMIT, LIMIT, shape=(*batch, count, view.size), **options)}

        def acted(group: str, count: int) -> dict[str, Any]:
            return {"action": self._action_spec(group, count, options)}

        def rewarded(group: str, count: int) -> dict[str, Any]:
            return {"reward": Unbounded(shape=(*batch, count, 1), **options)}

        n, d, m = len(self.game.agents), len(self._factor), self.game.makers
        self.observation_spec = by_group(observed)
        self.observation_spec["k"] = Unbounded(shape=(*batch, 1), dtype=torch.int64, device=self.device)
        shapes = {"inventories": (n,), "factor": (d,), "quotes": (2, m), "price": (1,)}
        if self._with_state:
            shapes["state"] = (1 + d + n + 2 * m,)
        for name, shape in shapes.items():
            self.observation_spec[name] = Unbounded(shape=(*batch, *shape), **options)
        self.action_spec = by_group(acted)
        spaces = {group: self.full_action_spec[group, "action"].space for group in self._places}
        self._bounds = {group: (space.low, space.high - space.low) for group, space in spaces.items()}
        self.reward_spec = by_group(rewarded)
        self.done_spec = Composite(
            {
                name: Categorical(2, shape=(*batch, 1), dtype=torch.bool, device=self.device)
                for name in ("done", "terminated")
            },
            shape=batch,
        )

    def _action_spec(self, group: str, count: int, options: dict[str, Any]) -> Bounded:
        role, part = self._places[group]
        shape = (*self.batch_size, count, self.view.action_size(role))
        if self._units:
            limit = (1 / self._units[role][part]).expand(shape).clone()
            return Bounded(-limit, limit, shape=shape, **options)
        if self.view.normalize:
            return Bounded(-1.0, 1.0, shape=shape, **options)
        ends = (each[part] for each in self.view.action_bounds(role))
        bounds = (torch.as_tensor(each, **options).expand(shape).clone() for each in ends)
        return Bounded(*bounds, shape=shape, **options)

    def _set_seed(self, seed: int | None) -> None:
        if seed is None:
            self._generator.seed()
        else:
            self._generator.manual_seed(seed)

    def controls(self, tensordict: TensorDictBase) -> Controls:
        """Physical controls (..., N), (..., M), (..., M) of the entries ``(group, "action")``."""
        taken: dict[str, list[torch.Tensor]] = {role: [] for role in self.view.names}
        for group, (role, _) in self._places.items():
            taken[role].append(tensordict.get((group, "action")))
        actions = {role: each[0] if len(each) == 1 else torch.cat(each, dim=-2) for role, each in taken.items()}
        return self.view.controls({role: each * self._units.get(role, 1.0) for role, each in actions.items()})

    def rand_action(self, tensordict: TensorDictBase | None = None) -> TensorDictBase:
        """Actions drawn uniformly from the specification's bounds, as TorchRL's own method does, with less overhead."""
        result = TensorDict({}, batch_size=self.batch_size, device=self.device) if tensordict is None else tensordict
        for group, (low, width) in self._bounds.items():
            draw = torch.rand(low.shape, dtype=self.dtype, device=self.device)
            result.set((group, "action"), torch.addcmul(low, width, draw))
        return result

    def policies(self, actor: Callable[[TensorDictBase], TensorDictBase]) -> dict[str, Policy]:
        """By agent what an actor plays without exploration, as simulation and evaluation take it.

        Args:
            actor: a tensordict module that writes every ``(group, "action")`` from ``(group, "observation")``, in this
                environment's units. It is not copied: the policies change as it learns.
        """
        return {agent: ActorPolicy(self, actor, agent) for agent in self.game.agents}

    def _reset(self, tensordict: TensorDictBase | None = None, **_: Any) -> TensorDictBase:
        mask = None if tensordict is None else tensordict.get("_reset", None)
        if mask is not None and not mask.all():
            raise ValueError(
                f"_reset: markets have a common clock, expected a reset of all {mask.numel()}, got {int(mask.sum())}"
            )
        batch = tuple(self.batch_size)
        options: dict[str, Any] = {"dtype": self.dtype, "device": self.device}
        inside = {
            "inventories": self._start.expand(*batch, -1).clone(),
            "factor": self._factor.expand(*batch, -1).clone(),
            "quotes": torch.zeros((*batch, 2, self.game.makers), **options),
            "price": torch.full((*batch, 1), self.game.initial_price, **options),
        }
        return self._pack(0, inside, None)

    def _step(self, tensordict: TensorDictBase) -> TensorDictBase:
        game, view = self.game, self.view
        k = int(tensordict.get("k").flatten()[0])
        if k >= self.steps:
            raise ValueError(f"the episode ended after {self.steps} steps: reset before another step")
        inventories, factor, price = (tensordict.get(name) for name in ("inventories", "factor", "price"))
        price = price[..., 0]
        controls = self.controls(tensordict)
        noise = Noise(  # drawn in this order
            inventory=self._draw(inventories) if game.inventory_noise else None,
            price=self._draw(price) if view.options.reward == "wealth" else None,
            factor=None if game.factor is None else self._draw(factor),
        )
        shocks = scaled(noise, view.dt, game.volatility, game.inventory_noise)
        c, time = self._coefficients[k], float(view.times[k])
        played = advance(game, c, time, view.dt, inventories, factor, price, controls, shocks, last=k + 1 == self.steps)
        reward = played.gross if self._payoff_unit is None else played.gross / self._payoff_unit
        inside = {
            "inventories": played.inventories,
            "factor": played.factor,
            "quotes": torch.stack([controls.ask, controls.bid], dim=-2),
            "price": played.price[..., None],
        }
        return self._pack(k + 1, inside, reward)

    def _draw(self, like: torch.Tensor) -> torch.Tensor:
        return torch.randn(like.shape, generator=self._generator, dtype=like.dtype, device=like.device)

    def _pack(self, k: int, inside: dict[str, torch.Tensor], reward: torch.Tensor | None) -> TensorDictBase:
        """The tensordict after ``k`` steps: the market's inside, observations, rewards where there are any, the end."""
        view, batch = self.view, self.batch_size
        factor = inside["factor"] if self.game.factor is not None else None
        vector = view.state(k, inside["inventories"], factor, inside["quotes"])
        clock = torch.full((*batch, 1), k, dtype=torch.int64, device=self.device)
        ended = torch.full((*batch, 1), k == self.steps, dtype=torch.bool, device=self.device)
        entries: dict[str, Any] = {**inside, "k": clock, "done": ended, "terminated": ended.clone()}
        if self._with_state:
            entries["state"] = vector
        seen = view.observe(vector)
        rewards = {} if reward is None else view.split(reward[..., None])
        for group, (role, part) in self._places.items():
            own = {"observation": seen[role][..., part, :]}
            if reward is not None:
                own["reward"] = rewards[role][..., part, :]
            entries[group] = TensorDict(own, batch_size=own["observation"].shape[:-1], device=self.device)
        return TensorDict(entries, batch_size=batch, device=self.device)


class ActorPolicy:
    """A :data:`~makertaker.envs.grid.Policy`: what a tensordict module does for one agent, without exploration.

    Args:
        market: gives the module's observations and the units of its actions; its batch size does not matter.
        actor: writes ``(group, "action")`` from ``(group, "observation")``.
        agent: name of the agent.

    Raises:
        ValueError: an unknown agent.
    """

    def __init__(self, market: TorchMarket, actor: Callable[[TensorDictBase], TensorDictBase], agent: str) -> None:
        self.steps, self._market, self._actor, self._agent = market.steps, market, actor, agent
        agent_index(market.game, agent)

    def __call__(self, k: int, state: State) -> np.ndarray:
        """Physical controls (..., 1) of a trader, (..., 2) of a maker; in double precision."""
        market, view = self._market, self._market.view
        options: dict[str, Any] = {"dtype": market.dtype, "device": market.device}
        factor = None if state.factor is None else torch.as_tensor(np.array(state.factor), **options)
        inventories, quotes = (torch.as_tensor(np.array(each), **options) for each in (state.inventories, state.quotes))
        seen = view.observe(view.state(int(k), inventories, factor, quotes))
        batch, entries = inventories.shape[:-1], {}
        for group, (role, part) in market._places.items():
            own = seen[role][..., part, :]
            entries[group] = TensorDict({"observation": own}, batch_size=own.shape[:-1])
        with torch.no_grad(), set_exploration_type(ExplorationType.DETERMINISTIC):
            acted = self._actor(TensorDict(entries, batch_size=batch, device=market.device))
        controls = market.controls(acted)
        plain = Controls(*(each.to("cpu", torch.float64).numpy() for each in controls))
        return agent_controls(market.game, plain, self._agent)  # type: ignore[no-any-return]


__all__ = ["ActorPolicy", "TorchMarket"]
