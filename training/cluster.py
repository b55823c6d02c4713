"""Ray: one machine by default, or a cluster. Needs the extra ``ray``."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager

try:
    import ray
except ModuleNotFoundError as error:
    raise ImportError(f"this needs {error.name}: pip install 'makertaker[ray]'") from error


@contextmanager
def connected(address: str | None = None) -> Iterator[None]:
    """A connection to Ray; one that exists already is used and left open.

    Args:
        address: of a cluster, as ``ray.init`` takes it: ``"auto"`` or ``"10.0.0.1:6379"``. None: the
            cluster that the environment variable ``RAY_ADDRESS`` names, else this machine, for as long as this lasts.

    Raises:
        ValueError: there is no cluster at the address.
    """
    if ray.is_initialized():
        yield
        return
    for name in ("ray", "ray.rllib"):  # RLlib gives advice to those who write its configuration
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        ray.init(
            address=address,
            include_dashboard=None if address or os.environ.get("RAY_ADDRESS") else False,
            log_to_driver=False,
            logging_level=logging.ERROR,
        )
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise ValueError(f"address: no Ray cluster answers at {address!r}: {error}") from error
    try:
        yield
    finally:
        ray.shutdown()


def processors() -> int:
    """Processors of the cluster."""
    return int(ray.cluster_resources().get("CPU", 0))
