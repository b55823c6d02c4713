"""The command line, as users meet it."""

import atexit
import os
import shutil
import sys
import tempfile

import pytest

# JAX compiles in half the time; and values that hold however its compiler fuses operations are the ones to rely on
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")
if "JAX_COMPILATION_CACHE_DIR" not in os.environ:  # programs are shared by the processes of the tests, and not kept
    os.environ["JAX_COMPILATION_CACHE_DIR"] = tempfile.mkdtemp(prefix="makertaker-programs-")
    atexit.register(shutil.rmtree, os.environ["JAX_COMPILATION_CACHE_DIR"], ignore_errors=True)

pytest.register_assert_rewrite("support")  # its assertions are as talkative as those of tests


@pytest.fixture
def command(monkeypatch, capsys):
    """Runs ``makertaker`` with these arguments: exit code, standard output, standard error."""
    from makertaker.training import cli

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["makertaker", *arguments])
        with pytest.raises(SystemExit) as exit_:
            cli.main()
        return exit_.value.code, *capsys.readouterr()

    return run
