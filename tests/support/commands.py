"""Commands of ``makertaker`` and what they print."""

import json

from typer.testing import CliRunner

from makertaker.training import cli


def strict_json(text):
    """The document; refuses what standard JSON does not have."""

    def refuse(constant):
        raise ValueError(f"{constant} is not JSON")

    return json.loads(text, parse_constant=refuse)


def invoke(*arguments):
    """The command's standard output."""
    result = CliRunner().invoke(cli.app, [str(each) for each in arguments])
    assert result.exit_code == 0, result.output
    return result.stdout


def assert_one_line(result, message):
    """Exit code 2, nothing on standard output, and one line on standard error, which says this."""
    code, out, err = result
    assert (code, out) == (2, "")
    assert err.startswith("makertaker: ")
    assert message in err
    assert err.count("\n") == 1
