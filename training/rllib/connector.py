"""From episodes to a training batch: whole episodes of equal length, stacked at once.

RLlib's own pipeline handles episodes one by one, and appends to each a step that stands for the value of a truncated
one's last state; these steps take part in the standardisation of advantages. Markets always end at the horizon, so that
neither is needed.
"""

from __future__ import annotations

import numpy as np
import torch
from ray.rllib.connectors.connector_v2 import ConnectorV2
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.multi_rl_module import MultiRLModule
from ray.rllib.env.multi_agent_episode import MultiAgentEpisode
from ray.rllib.env.single_agent_episode import SingleAgentEpisode
from ray.rllib.evaluation.postprocessing import Postprocessing

from .module import PrefixPPOModule

Columnwise = dict[str, dict[str, torch.Tensor]]
"""columns of a training batch, by module"""
_COPIED = (Columns.ACTION_DIST_INPUTS, Columns.ACTION_LOGP)


class WholeEpisodes(ConnectorV2):  # type: ignore[misc]  # RLlib is untyped
    """Batches of complete episodes of one length, with generalised advantage estimates.

    Args:
        input_observation_space: RLlib passes it.
        input_action_space: RLlib passes it.
        gamma: discount factor.
        gae_lambda: of generalised advantage estimation (Schulman et al., arXiv 1506.02438, equation 16).
    """

    def __init__(
        self,
        input_observation_space: object = None,
        input_action_space: object = None,
        *,
        gamma: float,
        gae_lambda: float,
    ) -> None:
        super().__init__(input_observation_space, input_action_space)
        self.gamma, self.gae_lambda = gamma, gae_lambda

    def __call__(
        self, *, rl_module: MultiRLModule, batch: Columnwise, episodes: list[MultiAgentEpisode], **_: object
    ) -> Columnwise:
        """Columns of every module, the episodes one after the other; RLlib calls it."""
        by_module: dict[str, list[SingleAgentEpisode]] = {}
        for joint in episodes:
            for agent in sorted(joint.agent_episodes):  # RLlib's own iterator goes through a set, in any order
                episode = joint.agent_episodes[agent]
                if not episode.is_terminated:
                    raise ValueError(f"expected whole episodes, got {joint.id_!r}, in which {agent!r} has not ended")
                by_module.setdefault(episode.module_id, []).append(episode)
        for module_id, found in by_module.items():
            batch[module_id] = self._columns(rl_module[module_id].unwrapped(), found)
        return batch

    @torch.no_grad()
    def _columns(self, module: PrefixPPOModule, episodes: list[SingleAgentEpisode]) -> dict[str, torch.Tensor]:
        device = next(module.parameters()).device
        seen = np.stack([each.get_observations() for each in episodes])[:, :-1]
        rewards = np.stack([each.get_rewards() for each in episodes])
        inputs = torch.as_tensor(seen, dtype=torch.float32, device=device)
        values = module.compute_values({Columns.OBS: inputs}).cpu().numpy()
        advantages = _advantages(rewards, values, self.gamma, self.gae_lambda)
        columns = {
            Columns.ACTIONS: np.stack([each.get_actions() for each in episodes]),
            **{key: np.stack([each.get_extra_model_outputs(key) for each in episodes]) for key in _COPIED},
            Postprocessing.ADVANTAGES: (advantages - advantages.mean()) / max(1e-4, float(advantages.std())),
            Postprocessing.VALUE_TARGETS: advantages + values,
        }
        tensors = {
            key: torch.as_tensor(np.asarray(each, dtype=np.float32), device=device) for key, each in columns.items()
        }
        return {key: each.flatten(0, 1) for key, each in {Columns.OBS: inputs, **tensors}.items()}


def _advantages(rewards: np.ndarray, values: np.ndarray, gamma: float, gae_lambda: float) -> np.ndarray:
    """Advantages (B, K) of rewards and values (B, K); nothing follows the last step."""
    following = np.concatenate([values[:, 1:], np.zeros_like(values[:, :1])], axis=1)
    surprises = rewards + gamma * following - values
    result, carried = np.empty_like(surprises), np.zeros(len(surprises))
    for k in reversed(range(surprises.shape[1])):
        carried = surprises[:, k] + gamma * gae_lambda * carried
        result[:, k] = carried
    return np.asarray(result)
