"""The paper's conditions, checked for a game."""
