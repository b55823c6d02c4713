"""Games with noise: the decoupling field, and best responses by simulation."""
