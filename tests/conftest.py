"""How Hypothesis plays in this project.

`make test` draws the same examples each time: a red run is the fault of the change, and two runs tell the same. New
examples are looked for with `HYPOTHESIS_PROFILE=explore` (and by `make fuzz`). A busy machine is slow at any moment, so
no example has a deadline; what hangs is ended by the test's own bounds.
"""

from __future__ import annotations

import os

from hypothesis import settings

settings.register_profile("steady", deadline=None, derandomize=True)
settings.register_profile("explore", deadline=None, max_examples=1000, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "steady"))
