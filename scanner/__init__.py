"""Many checkpoints on many devices: plan, load, work, pool, ledger."""
