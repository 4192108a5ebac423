"""How long the server waits, and for what."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Waiting:
    """Times in seconds.

    Attributes:
        round: a round lasts at most this long; who has not replied then is missing.
        late: how long it waits for the others once `federation.min_replies` is reached.
        poll: pause between two looks for answers.
        look: pause between two looks for nodes that are new or gone.
        again: pause before a request is sent once more.
        probe: after so long without an answer a node is asked whether it lost the request, and again after twice, four
            times … as long. Nodes work in order, so a node that answers the later question has lost the earlier.
            Infinite where they don't.
    """

    round: float = 3600.0
    late: float = 120.0
    poll: float = 0.1
    look: float = 3.0
    again: float = 5.0
    probe: float = 30.0


SIMULATED = Waiting(round=math.inf, late=math.inf, look=1.0, again=1.0, probe=math.inf)
"""On one machine nothing is lost; a round takes as long as its clients train."""
