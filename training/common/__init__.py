"""The common ground of all libraries that learn: joint markets, information, actors, checkpoints."""
