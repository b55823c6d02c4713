"""Games as batched TorchRL environments: many markets in one tensor, on any device, agents grouped by role.

The dynamics are those of :func:`~makertaker.envs.grid.advance` on tensors. A tensordict of batch size ``(B,)`` holds,
for each role that the game has (``"trader"``, ``"maker"``), a tensordict of batch size (B, N) or (B, M), as
TorchRL's other multi-agent environments do: ``(role, "observation")`` (B, N, size), ``(role, "action")`` (B, N, 1) or
(B, M, 2) and ``(role, "reward")`` (B, N, 1); the state is beside them. Markets have a common clock, end together and
are reset together. Needs TorchRL 0.11 or later: ``pip install '.[torchrl]'``.

By default actions count from the middle of the action range in units of ``game.control_unit`` and rewards are in units
of ``game.payoff_unit``, so that one learning rate and one exploration suit everybody; see :class:`.Options`.
:meth:`TorchMarket.policies` turns what was learned back into policies in physical units.

    env = TorchMarket("acas", num_envs=64)
    rollout = env.rollout(env.steps)
"""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from typing import Any, Literal

import numpy as np

from .text import how_to_install

try:
    import torch
    from tensordict import TensorDict, TensorDictBase
    from tensordict.nn import TensorDictSequential
    from torchrl.data import Bounded, Categorical, Composite, Unbounded
    from torchrl.envs import EnvBase
    from torchrl.envs.utils import ExplorationType, set_exploration_type
except ModuleNotFoundError as error:  # pragma: no cover - depends on the installation
    raise ImportError(f"makertaker.envs.torchrl_env needs {error.name}: {how_to_install('torchrl')}") from error

from .actions import ActionKind
from .described import Described, describe
from .game import Controls
from .grid import Policy, Position, State, advance, closing_rates
from .noise import Noise, scaled
from .observation import LIMIT, Kind
from .options import OptionsLike
from .packing import agent_controls, agent_index, check_goes_on
from .parameters import check_count
from .random_markets import Drawn, RandomMarkets
from .roles import RoleView, role_action

Groups = Literal["role", "agent"]
_OWN = ("control_units", "payoff_units", "groups", "state", "dtype", "device", "seed")


class TorchMarket(EnvBase):  # type: ignore[misc]  # TorchRL is untyped
    """A batch of markets.

    Args:
        game: the game; or a scenario, its name, the path of its file, or a mapping of its contents. With a factor, its
            functions must work on tensors (the named ones do).
        num_envs: number ``B`` of markets.
        options: of the environment.
        scenario: in place of a game.
        control_units: in place of what the options say of actions: True: they count from the middle of the action range
            in the game's control units, False: they are normalised, or physical with ``normalize=False``.
        payoff_units: in place of what the options say of rewards: True: in the game's payoff units, False: in currency.
        groups: ``"role"``: agents of a role side by side, as above; ``"agent"``: a group of its own for each, under its
            name, so that entries are (B, 1, .), for algorithms that take a group for a team.
        state: True: there is an entry ``"state"`` (B, size), of which observations are made, for critics that
            see everything.
        dtype: of the state and of all entries.
        device: of the tensors.
        seed: of the noise, and of random initial inventories.
        arguments: fields of :class:`.Options`, and parameters of the game.

    Raises:
        ValueError: an argument is out of its range, ``control_units`` comes without ``normalize``, a step is asked for
            after the end, or a reset of some markets only.

    Examples:
        >>> from makertaker.envs.torchrl_env import TorchMarket
        >>> env = TorchMarket("acas", num_envs=4, observation="time", seed=0)
        >>> env.rollout(5)["next", "maker", "reward"].shape
        torch.Size([4, 5, 2, 1])
    """

    def __init__(
        self,
        game: Described | None = None,
        num_envs: int = 1,
        options: OptionsLike = None,
        *,
        scenario: Described | None = None,
        control_units: bool | None = None,
        payoff_units: bool | None = None,
        groups: Groups = "role",
        state: bool = False,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str | int = "cpu",
        seed: int | None = None,
        **arguments: Any,
    ) -> None:
        found = describe(game, scenario, options, arguments, own=("num_envs", *_OWN))
        market, chosen, self.random = found.game, found.options, found.random
        check_count("num_envs", num_envs)
        if control_units and chosen.normalize is False and chosen.units is None:
            raise ValueError("control_units: expected normalize=True with it, got normalize=False")
        if groups not in ("role", "agent"):
            raise ValueError(f"groups: expected 'role' or 'agent', got {groups!r}")
        super().__init__(device=torch.device(device), batch_size=torch.Size([int(num_envs)]))
        self.game, self.dtype = market, dtype
        like = torch.zeros((), dtype=dtype, device=self.device)
        view = RoleView(market, chosen, self.random)
        self.steps = view.steps
        if control_units is not None:
            physical = chosen.normalize is False or chosen.actions == "physical"
            plain: ActionKind = "physical" if physical else "normalized"
            view.scale = view.scale.of_kind("controls" if control_units else plain)
        if payoff_units is not None:
            view.reward_units = view.payoff_units if payoff_units else None
        self.view = view.like(like)
        roles = {role: list(self.view.agents(role)) for role in self.view.names}
        self.group_map = roles if groups == "role" else {agent: [agent] for agent in market.agents}
        """names of the agents of each group, in the order of its entries"""
        self._places = {
            group: slice(market.positions[agents[0]], market.positions[agents[-1]] + 1)
            for group, agents in self.group_map.items()
        }
        self._with_state = state
        self._usual = market.coefficients(self.view.times).like(like)
        self._played, self._start = market, self._tensor(market.start)
        self._drawn: Drawn | None = None
        self._coefficients = [self._usual.at(k) for k in range(self.steps)]
        self._factor = self._tensor([] if market.factor is None else market.factor.initial)
        self._generator = torch.Generator(device=self.device)
        self._set_seed(seed)
        self._make_specs()

    def _tensor(self, values: Any) -> torch.Tensor:
        return torch.as_tensor(np.array(values), dtype=self.dtype, device=self.device)

    def _make_specs(self) -> None:
        batch, kind = self.batch_size, {"dtype": self.dtype, "device": self.device}
        observed, acted, rewarded = (Composite(shape=batch) for _ in range(3))
        self._bounds: dict[str, tuple[torch.Tensor, torch.Tensor]] = {}
        for group, agents in self.group_map.items():
            shape = (*batch, len(agents))
            low, high = (each.expand(*batch, *each.shape).clone() for each in self._ends(agents))
            self._bounds[group] = low, high - low
            view = Bounded(-LIMIT, LIMIT, shape=(*shape, self.view.size), **kind)
            observed[group] = Composite(observation=view, shape=shape)
            acted[group] = Composite(action=Bounded(low, high, shape=low.shape, **kind), shape=shape)
            rewarded[group] = Composite(reward=Unbounded(shape=(*shape, 1), **kind), shape=shape)
        n, d, m = len(self.game.agents), len(self._factor), self.game.makers
        shapes = {"inventories": (n,), "factor": (d,), "quotes": (2, m), "price": (1,), "volumes": (2,)}
        if self.game.must_close:
            shapes |= {"rate": (self.game.traders,), "clipped": (self.game.traders,)}
        if self._with_state:
            shapes["state"] = (self.view.observer.size,)
        if self.random is not None:
            sizes = {name: len(each.value(np.zeros(each.width))) for name, each in self.random.distributions.items()}
            observed["drawn"] = Composite(
                {name: Unbounded(shape=(*batch, size), **kind) for name, size in sizes.items()}, shape=batch
            )
        observed["k"] = Unbounded(shape=(*batch, 1), dtype=torch.int64, device=self.device)
        for name, shape in shapes.items():
            observed[name] = Unbounded(shape=(*batch, *shape), **kind)
        self.observation_spec, self.action_spec, self.reward_spec = observed, acted, rewarded
        done = Categorical(2, shape=(*batch, 1), dtype=torch.bool, device=self.device)
        self.done_spec = Composite({"done": done, "terminated": done.clone()}, shape=batch)

    def _ends(self, agents: list[str]) -> tuple[torch.Tensor, torch.Tensor]:
        """Lowest and highest actions of a group, (count, 1) or (count, 2)."""
        low, high = zip(*(self.view.scale.action_bounds(agent) for agent in agents), strict=True)
        return self._tensor(low), self._tensor(high)

    def _set_seed(self, seed: int | None) -> None:
        if seed is None:
            self._generator.seed()
        else:
            self._generator.manual_seed(seed)

    def controls(self, tensordict: TensorDictBase) -> Controls:
        """Physical controls (..., N), (..., M), (..., M) of the entries ``(group, "action")``.

        Raises:
            ValueError: an entry has a wrong shape, or is NaN.
        """
        batch, flat = tensordict.batch_size, []
        for group, ends in self._bounds.items():  # traders come first
            shape = (*batch, *ends[0].shape[len(self.batch_size) :])
            flat.append(role_action(tensordict.get((group, "action")), shape, group).flatten(-2))
        return self.view.controls(torch.cat(flat, dim=-1))

    def rand_action(self, tensordict: TensorDictBase | None = None) -> TensorDictBase:
        """Actions drawn uniformly from the specification's bounds, as TorchRL's own method does, with less overhead."""
        result = TensorDict({}, batch_size=self.batch_size, device=self.device) if tensordict is None else tensordict
        for group, (low, width) in self._bounds.items():
            draw = torch.rand(low.shape, dtype=self.dtype, device=self.device)
            result.set((group, "action"), torch.addcmul(low, width, draw))
        return result

    def policies(
        self, actor: Callable[[TensorDictBase], TensorDictBase], memory: TensorDictBase | None = None
    ) -> dict[str, Policy]:
        """Each agent's policy: an actor without exploration, as simulation and evaluation take it.

        Args:
            actor: a tensordict module that writes every ``(group, "action")`` from ``(group, "observation")``, in this
                environment's units. It is not copied: the policies change as it learns.
            memory: of a recurrent actor; see :class:`ActorPolicy`.
        """
        return {agent: ActorPolicy(self, actor, agent, memory) for agent in self.game.agents}

    def _reset(self, tensordict: TensorDictBase | None = None, **_: object) -> TensorDictBase:
        mask = None if tensordict is None else tensordict.get("_reset", None)
        if mask is not None and not mask.all():
            raise ValueError(
                f"_reset: markets have a common clock, expected a reset of all {mask.numel()}, got {int(mask.sum())}"
            )
        batch, zero = self.batch_size, torch.zeros((), dtype=self.dtype, device=self.device)
        if self.random is not None:
            self._draw_markets(self.random)
        start, spread = self._start.expand(*batch, -1).clone(), self.view.options.inventory_spread
        if spread:
            start = self.game.admitted(start + spread * self._draw(start))
        inside = {
            "inventories": start,
            "factor": self._factor.expand(*batch, -1).clone(),
            "quotes": zero.new_zeros((*batch, 2, self.game.makers)),
            "price": zero.new_full((*batch, 1), self.game.initial_price),
            "volumes": zero.new_zeros((*batch, 2)),
        }
        if self.game.must_close:
            inside |= dict.fromkeys(("rate", "clipped"), zero.new_zeros((*batch, self.game.traders)))
        return self._pack(0, inside, None)

    def _draw_markets(self, random: RandomMarkets) -> None:
        """Other parameters for this episode."""
        shape, kind = (*self.batch_size, random.width), {"dtype": self.dtype, "device": self.device}
        self._drawn = drawn = random.drawn(torch.rand(shape, generator=self._generator, **kind))
        self._played, self._start = random.batched(drawn), random.start(drawn)
        c = random.coefficients(self._usual, drawn, (self.steps,))
        self._coefficients = [c.at(k) for k in range(self.steps)]

    def _step(self, tensordict: TensorDictBase) -> TensorDictBase:
        game, view = self._played, self.view
        k = int(tensordict.get("k").flatten()[0])
        if k >= self.steps:
            raise ValueError(f"the episode ended after {self.steps} steps: reset before another step")
        inventories, factor, price = (tensordict.get(name) for name in ("inventories", "factor", "price"))
        here = Position(inventories, factor, price[..., 0])
        asked = self.controls(tensordict)
        controls = closing_rates(game, asked, inventories, view.dt, self.steps - k - 1)
        noise = Noise(  # drawn in this order
            inventory=self._draw(inventories) if self.game.inventory_noise else None,
            price=self._draw(here.price),
            factor=None if game.factor is None else self._draw(factor),
        )
        shocks = scaled(noise, view.dt, game.volatility, game.inventory_noise)
        c, time = self._coefficients[k], float(view.times[k])
        last = view.penalised(k + 1 == self.steps)
        played = advance(game, c, time, view.dt, here, controls, shocks, last)
        end, activity = played.position, played.activity
        inside = {
            "inventories": end.inventories,
            "factor": end.factor,
            "quotes": torch.stack([controls.ask, controls.bid], dim=-2),
            "price": end.price[..., None],
            "volumes": view.dt * torch.stack([activity.buy_volume, activity.sell_volume], dim=-1),
        }
        if game.must_close:
            inside |= {"rate": controls.rate, "clipped": controls.rate - asked.rate}
        change = view.marked(c, end.inventories, k + 1) - view.marked(c, inventories, k)
        return self._pack(k + 1, inside, view.rewards(played, change))

    def _draw(self, like: torch.Tensor) -> torch.Tensor:
        return torch.randn(like.shape, generator=self._generator, dtype=like.dtype, device=like.device)

    def _pack(self, k: int, inside: dict[str, torch.Tensor], reward: torch.Tensor | None) -> TensorDictBase:
        """The tensordict after ``k`` steps: the market's inside, observations, rewards where there are any, the end."""
        view, batch = self.view, self.batch_size
        position = Position(inside["inventories"], inside["factor"], inside["price"][..., 0])
        context = None if self._drawn is None else self._drawn.context
        vector = view.vector(k, position, inside["quotes"], inside["volumes"], context)
        clock = torch.full((*batch, 1), k, dtype=torch.int64, device=self.device)
        ended = torch.full((*batch, 1), k == self.steps, dtype=torch.bool, device=self.device)
        entries = {**inside, "k": clock, "done": ended, "terminated": ended.clone()}
        if self._drawn is not None:
            entries["drawn"] = TensorDict(dict(self._drawn.values), batch_size=batch, device=self.device)
        if self._with_state:
            entries["state"] = vector[..., : view.observer.size]
        rewards = {} if reward is None else {"reward": reward[..., None]}
        groups = self.grouped(observation=view.observe(vector), **rewards)
        return TensorDict({**entries, **groups}, batch_size=batch, device=self.device)

    def grouped(self, **values: torch.Tensor) -> dict[str, TensorDict]:
        """Values of the agents, (..., n, .), as entries of their groups."""
        shape = next(iter(values.values())).shape[:-2]
        return {
            group: TensorDict(
                {name: each[..., place, :] for name, each in values.items()},
                batch_size=(*shape, place.stop - place.start),
                device=self.device,
            )
            for group, place in self._places.items()
        }


class ActorPolicy:
    """A :data:`~makertaker.envs.grid.Policy`: a tensordict module's actions for one agent, without exploration.

    What a recurrent module writes below ``"next"`` it is given in the next step, and ``"is_init"`` is true in the first
    step of an episode, as in TorchRL. Such a policy is asked once in every step, from the first on, by one batch of
    markets.

    Args:
        market: gives the module's observations and the units of its actions; its batch size does not matter.
        actor: writes ``(group, "action")`` from ``(group, "observation")``.
        agent: name of the agent.
        memory: entries that a recurrent module is given in the first step, of one market; None: it needs none.

    Raises:
        ValueError: an unknown agent.

    Examples:
        >>> import torch
        >>> from makertaker.envs.torchrl_env import ActorPolicy, TorchMarket
        >>> market = TorchMarket("acas", observation="time")
        >>> def still(data):
        ...     seen = data["maker", "observation"]
        ...     return data.set(("maker", "action"), torch.zeros(*seen.shape[:-1], 2))
        ...
        >>> maker = ActorPolicy(market, still, "maker_0")  # rates and quotes in place of actions
        >>> maker.sees
        'time'
    """

    def __init__(
        self,
        market: TorchMarket,
        actor: Callable[[TensorDictBase], TensorDictBase],
        agent: str,
        memory: TensorDictBase | None = None,
    ) -> None:
        self.steps, self._market, self._agent = market.steps, market, agent
        self._context: np.ndarray | None = None
        self._memory, self._next = memory, 0
        self._kept: TensorDictBase | None = None
        """what the module wrote for the next step"""
        self._batch: torch.Size = torch.Size()
        index = agent_index(market.game, agent)
        own = next(group for group, place in market._places.items() if place.start <= index < place.stop)
        self._actor = actor
        if isinstance(actor, TensorDictSequential):  # other groups' modules have no part in it
            self._actor = actor.select_subsequence(out_keys=[(own, "action")])
        self._idle = {group: ends[0].shape[-2:] for group, ends in market._bounds.items() if group != own}

    @property
    def remembers(self) -> bool:
        """True if the module writes something for the next step, or is given something in the first."""
        return self._memory is not None or self._kept is not None

    def _remembered(self, k: int, given: TensorDictBase) -> TensorDictBase:
        """What the module is given, with what it remembers; in one row where there is a memory of the first step, which
        recurrent modules expect."""
        batch = given.batch_size
        if k and self.remembers:
            check_goes_on(self._agent, (k, tuple(batch)), (self._next, tuple(self._batch)))
        self._batch = batch
        if self._memory is not None:
            given = given.reshape(-1)
        begins = torch.full((*given.batch_size, 1), k == 0, dtype=torch.bool, device=given.device)
        given.set("is_init", begins)
        if k and self._kept is not None:
            given.update(self._kept)
        elif self._memory is not None:
            given.update(self._memory.expand(given.batch_size).clone())
        return given

    @property
    def sees(self) -> Kind:
        """The kind of observation that the actor is given."""
        return self._market.view.options.kind

    def showing(self, context: np.ndarray) -> ActorPolicy:
        """The policy in a random market of which this, (D,), was drawn."""
        result = copy(self)
        result._context = context
        return result

    def __call__(self, k: int, state: State) -> np.ndarray:
        """Physical controls (..., 1) of a trader, (..., 2) of a maker; in double precision.

        Raises:
            ValueError: an actor that remembers is not asked step by step from the first, by one batch of markets.
        """
        market, view = self._market, self._market.view
        inventories, *rest = (market._tensor(each) for each in (state.inventories, state.quotes, state.volumes))
        factor, price = (None if each is None else market._tensor(each) for each in (state.factor, state.price))
        position, context = Position(inventories, factor, price), None
        if self._context is not None:
            context = market._tensor(self._context).expand(*inventories.shape[:-1], -1)
        quotes, volumes = rest
        groups = market.grouped(observation=view.observe(view.vector(int(k), position, quotes, volumes, context)))
        given = self._remembered(int(k), TensorDict(groups, batch_size=inventories.shape[:-1], device=market.device))
        with torch.no_grad(), set_exploration_type(ExplorationType.DETERMINISTIC):
            acted = self._actor(given)
        self._next, self._kept = int(k) + 1, acted.get("next", None)
        acted = acted.reshape(inventories.shape[:-1])
        for group, shape in self._idle.items():
            acted[group, "action"] = inventories.new_zeros((*inventories.shape[:-1], *shape))
        controls = market.controls(acted)
        plain = Controls(*(each.to("cpu", torch.float64).numpy() for each in controls))
        return agent_controls(market.game, plain, self._agent)  # type: ignore[no-any-return]


__all__ = ["ActorPolicy", "TorchMarket"]
