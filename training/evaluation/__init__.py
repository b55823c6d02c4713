"""The comparison of learned policies with the equilibrium: numbers, figures, a page."""
