"""The execution game: linear-quadratic, so that its equilibria, best responses and optima are exact."""
