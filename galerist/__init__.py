"""galerist: Galera clusters that start, heal and explain themselves."""

__version__ = "0.1.0"
