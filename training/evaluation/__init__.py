"""The comparison of what was learned with the equilibrium: numbers, figures, a page."""
