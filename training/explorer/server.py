"""The server of ``makertaker explore``: a page and its numbers, for this machine alone."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Mapping

import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ...baselines import EquilibriumNotFound
from ...envs import Scenario, read_scenario, scenario_names
from ...envs.names import unknown
from ..common.overflow import OVERFLOW
from .export import as_python, as_toml
from .files import page_file
from .market import KNOTS, Market, collusion, document, gains, parse
from .sliders import GROUPS, facts, sliders

HOST = "127.0.0.1"
_FILES = {
    "": ("index.html", "text/html"),
    "explore.js": ("explore.js", "text/javascript"),
    "charts.js": ("charts.js", "text/javascript"),
    "explore.css": ("explore.css", "text/css"),
}
_HEADERS = {
    # a page that runs nothing but its own scripts, and fetches from nowhere else
    "Content-Security-Policy": "default-src 'self'; img-src 'self' data:; frame-ancestors 'none'",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
}
_REFUSED = 422


class Explorer:
    """What the page asks for, by scenario.

    Args:
        first: the scenario that is shown where a link names none.
    """

    def __init__(self, first: Scenario) -> None:
        self.first = first
        sliders(first)  # raises where the page could not show it

    @property
    def names(self) -> list[str]:
        """Of the scenarios to choose from."""
        return list(dict.fromkeys([self.first.name, *scenario_names()]))

    def scenario(self, name: str) -> Scenario:
        """A scenario by its name. No path is taken from a link: it would have files read that the user did not name."""
        if name == self.first.name:
            return self.first
        if name not in scenario_names():
            raise unknown("scenario", name, self.names)
        return read_scenario(name)

    def market(self, request: Request) -> Market:
        """The market that a request's query names."""
        asked = parse(request.query_params.multi_items(), self.first.name)
        return Market(self.scenario(asked.scenario), asked)

    def described(self, request: Request) -> str:
        """A scenario's sliders, and the names of the others."""
        found = self.scenario(request.query_params.get("scenario", self.first.name))
        return json.dumps(
            {
                "name": found.name,
                "description": found.description,
                "names": self.names,
                "knots": KNOTS,
                "facts": facts(found),
                "groups": list(GROUPS),
                "sliders": [each._asdict() for each in sliders(found)],
            }
        )

    def app(self) -> Starlette:
        """As an application for a server."""
        made: Mapping[str, tuple[Callable[[Request], str], str]] = {
            "api/scenario": (self.described, "application/json"),
            "api/market": (lambda request: json.dumps(document(self.market(request))), "application/json"),
            "api/gains": (lambda request: json.dumps(gains(self.market(request))), "application/json"),
            "api/collusion": (lambda request: json.dumps(collusion(self.market(request))), "application/json"),
            "export.toml": (lambda request: as_toml(self.market(request)), "application/toml"),
            "export.py": (lambda request: as_python(self.market(request)), "text/x-python"),
            "overflow.js": (lambda request: OVERFLOW, "text/javascript"),
        }
        routes = [Route(f"/{path}", _answer(*each)) for path, each in made.items()]
        routes += [Route(f"/{path}", _answer(_static(name), kind)) for path, (name, kind) in _FILES.items()]
        hosts = Middleware(TrustedHostMiddleware, allowed_hosts=[HOST, "localhost"])
        return Starlette(routes=routes, middleware=[hosts])


def _static(name: str) -> Callable[[Request], str]:
    return lambda _: page_file(name)


def _answer(make: Callable[[Request], str], kind: str) -> Callable[[Request], Response]:
    """An endpoint, run in a thread of its own; what the game says against it is an answer as well."""

    def endpoint(request: Request) -> Response:
        try:
            return Response(make(request), media_type=kind, headers=_HEADERS)
        except (ValueError, EquilibriumNotFound, ArithmeticError, MemoryError) as error:
            said = json.dumps({"error": str(error) or type(error).__name__})
            return Response(said, _REFUSED, media_type="application/json", headers=_HEADERS)

    return endpoint


def listen(port: int) -> socket.socket:
    """A socket on this machine alone.

    Args:
        port: 0 for any that is free.

    Raises:
        ValueError: no port has this number.
        OSError: another program has it; the message says so.
    """
    if not 0 <= port <= 65535:
        raise ValueError(f"--port: expected a number in 0..65535, got {port}")
    found = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        found.bind((HOST, port))
        found.listen(64)
    except OSError as error:
        found.close()
        raise OSError(f"--port {port}: {error.strerror or error}; 0 takes one that is free") from error
    return found


def server_of(explorer: Explorer) -> uvicorn.Server:
    """A server, quiet but for failures, which waits for no answer that is still being computed when it ends."""
    return uvicorn.Server(uvicorn.Config(explorer.app(), log_level="error", timeout_graceful_shutdown=1))


def serve(explorer: Explorer, at: socket.socket) -> None:
    """Answer requests until Ctrl-C or SIGTERM."""
    server_of(explorer).run(sockets=[at])
