"""Independent learning with stable-baselines3."""
