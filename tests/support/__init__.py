"""Games, independent formulas and ways to play that several test files share."""
