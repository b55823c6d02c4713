"""What all libraries that learn share: joint markets, information, actors, checkpoints."""
