"""Players who react: feedback (Markov-perfect) equilibria of the grid games, and best responses through policies."""
