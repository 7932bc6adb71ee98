"""The registry: one contract (:mod:`.contract`), one module for each backend."""
