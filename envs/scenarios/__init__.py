"""Named parameter sets: the TOML files of this folder, and the user's own. See :mod:`.loader` for the schema."""

from .loader import Scenario, load_scenario, read_scenario, scenario_names

__all__ = ["Scenario", "load_scenario", "read_scenario", "scenario_names"]
