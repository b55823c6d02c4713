"""RLlib: clusters that are not there or lose a node. They come last, as they end the Ray that the others share."""

import time

import numpy as np
import pytest

ray = pytest.importorskip("ray")
pytest.importorskip("torch")

from makertaker.baselines import exploitability  # noqa: E402
from makertaker.envs import rollout  # noqa: E402
from makertaker.training.rllib.algorithm import PatientPPO  # noqa: E402
from support.learning import EPISODE, GAME, STEPS  # noqa: E402
from support.rllib_learning import learners  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_machine")


def test_a_cluster_that_is_not_there_is_said_at_once():
    ray.shutdown()
    started = time.monotonic()
    with pytest.raises(ValueError, match=r"no Ray cluster answers at '127\.0\.0\.1:1'"):
        learners(address="127.0.0.1:1")
    assert time.monotonic() - started < 20


@pytest.mark.slow
def test_a_cluster_that_loses_a_node_goes_on_and_takes_a_new_one(tmp_path, monkeypatch):
    from ray.cluster_utils import Cluster

    ray.shutdown()
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    try:
        node = cluster.add_node(num_cpus=1)
        ray.init(address=cluster.address, log_to_driver=False)
        steps = 1_000_000
        with learners(runners=2, timesteps=steps) as trained:
            group = trained.algorithm.env_runner_group
            homes = group.foreach_env_runner(
                lambda each: ray.get_runtime_context().get_node_id(), local_env_runner=False
            )
            assert len(set(homes)) == 2

            def kill(done):
                if done == 4 * EPISODE:
                    cluster.remove_node(node, allow_graceful=False)

            trained.learn(steps, until=40 * EPISODE, on_episode=kill)
            assert group.num_healthy_remote_workers() == 1
            assert trained.steps_done == 40 * EPISODE  # the other runner plays all of the markets
            controls = rollout(GAME, trained.policies(), STEPS).controls
            assert np.isfinite(exploitability(GAME, controls, STEPS).nash_conv)

            monkeypatch.setattr(PatientPPO, "pause", 1.0)
            cluster.add_node(num_cpus=1)
            deadline = time.monotonic() + 90
            while group.num_healthy_remote_workers() < 2 and time.monotonic() < deadline:
                trained.learn(steps, until=trained.steps_done + EPISODE)
            trained.learn(steps, until=trained.steps_done + 2 * EPISODE)
            numbers = group.foreach_env_runner(lambda each: each._weights_seq_no, local_env_runner=True)
            assert len(numbers) == 3
            assert len(set(numbers)) == 1  # the new one has the same networks
    finally:
        ray.shutdown()
        cluster.shutdown()
