"""Games as BenchMARL tasks."""
