"""Wrong variants of the protocol, by name. Each replaces a few functions of the real code, or of
what the node or the server does for it.
"""

from tests.simulation.wrong import peers, rules
from tests.simulation.wrong.parts import MUTANTS, Mutant, Patch

__all__ = ["MUTANTS", "Mutant", "Patch", "peers", "rules"]
