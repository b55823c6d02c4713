"""The command line, as users meet it; Ray on this machine."""

import atexit
import math
import os
import shutil
import sys
import tempfile

import pytest

# JAX compiles in a quarter of the time; and values that hold however its compiler fuses operations, and whatever
# machine code it writes for them, are the ones to rely on. An XLA that does not know a flag ends the process and
# says so
_FLAGS = ("backend_optimization_level=0", "cpu_use_fusion_emitters=false", "cpu_parallel_codegen_split_count=1")
os.environ.setdefault("XLA_FLAGS", " ".join(f"--xla_{each}" for each in _FLAGS))
if "JAX_COMPILATION_CACHE_DIR" not in os.environ:  # programs are shared by the processes of the tests, and not kept
    os.environ["JAX_COMPILATION_CACHE_DIR"] = tempfile.mkdtemp(prefix="makertaker-programs-")
    atexit.register(shutil.rmtree, os.environ["JAX_COMPILATION_CACHE_DIR"], ignore_errors=True)

os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.1")  # not only those of a second and more

pytest.register_assert_rewrite("support")  # its assertions are as talkative as those of tests


@pytest.fixture(autouse=True)
def _precision_of_its_own():
    """JAX's precision is a test's own choice, and no matter of what ran before it."""
    before = "jax" in sys.modules and sys.modules["jax"].config.jax_enable_x64
    yield
    if "jax" in sys.modules and sys.modules["jax"].config.jax_enable_x64 != before:
        sys.modules["jax"].config.update("jax_enable_x64", before)


@pytest.fixture
def command(monkeypatch, capsys):
    """Runs ``makertaker`` with these arguments: exit code, standard output, standard error. What is slow here is not
    told: how long a computation takes is the machine's affair."""
    from makertaker.training import cli
    from makertaker.training.common import progress

    monkeypatch.setattr(progress, "_QUIET", math.inf)

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["makertaker", *arguments])
        with pytest.raises(SystemExit) as exit_:
            cli.main()
        return exit_.value.code, *capsys.readouterr()

    return run


@pytest.fixture(scope="module")
def one_machine():
    """Ray on two processors. What has been started, which takes seconds, is left running for other files."""
    ray = pytest.importorskip("ray")
    if not ray.is_initialized():
        ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
