"""Who is told of a run's end: a webhook, and a file for Prometheus. Counts and ids, nothing else."""
