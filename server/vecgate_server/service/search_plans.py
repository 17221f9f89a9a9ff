"""How searches are asked for: an application does it in few ways, each many times, so what was read lately is not read again."""

from __future__ import annotations

from functools import lru_cache

from vecgate.v1 import search_pb2 as wire
from vecgate_server.config_limits import LimitSettings
from vecgate_server.translate.search import SearchPlan, search_plan

KEPT = 128
"""Ways of asking that are remembered; the one not used for longest is forgotten first."""
LONGEST_BYTES = 1024
"""Of the options of a request that are remembered; longer ones hold a filter that is seldom asked for twice."""
PATH = "options"


class SearchPlans:
    """Reads the options of requests."""

    def __init__(self, limits: LimitSettings) -> None:
        self._limits = limits
        self._remembered = lru_cache(KEPT)(self._read)

    def of(self, options: wire.SearchOptions) -> SearchPlan:
        """Return how a search with these options is to be done; the errors are those of search_plan."""
        if options.ByteSize() > LONGEST_BYTES:
            return search_plan(options, PATH, self._limits)
        return self._remembered(options.SerializeToString())

    def _read(self, written: bytes) -> SearchPlan:
        return search_plan(wire.SearchOptions.FromString(written), PATH, self._limits)
