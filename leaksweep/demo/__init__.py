"""What `make demo` runs: a local hub stocked with the zoo, swept as any hub, compared with the truth."""

from leaksweep.demo.run import run_demo

__all__ = ["run_demo"]
