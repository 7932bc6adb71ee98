"""A deterministic model of Galera, registry and network that drives the real agent (docs/simulation.md)."""
