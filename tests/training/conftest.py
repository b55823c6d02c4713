"""Ray on this machine."""

import pytest


@pytest.fixture(scope="module")
def one_machine():
    """Two processors."""
    import ray

    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()
