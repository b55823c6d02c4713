"""The page of ``makertaker explore``: a market under sliders, its equilibrium, and profiles dragged by hand."""
