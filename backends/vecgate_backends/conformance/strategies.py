"""Random metadata and filters (hypothesis), from pools small enough that filters match now and then."""

from __future__ import annotations

from hypothesis import strategies as st

from vecgate_backends.filters import And, Compare, Eq, Exists, Filter, In, Not, Or, Order, Ordered, Scalar
from vecgate_backends.records import Metadata, MetadataValue, Timestamp

FIELDS = ("f", "g", "h.i j")
ORDERED: tuple[Ordered, ...] = (
    *(-1, 0, 1, 1.0, 2.5, 2**53, 2**53 + 1, float(2**53), -(2**63), 2**63 - 1, 1e300),
    *(Timestamp(0), Timestamp(0, 1), Timestamp(-1, 999_999_999), Timestamp(253_402_300_799, 999_999_999)),
)
SCALARS: tuple[Scalar, ...] = (*ORDERED, "", "games", "tools", "1", "true", True, False)
LISTS: tuple[tuple[str, ...], ...] = ((), ("games",), ("games", "tools", "games"), ("",))

scalars: st.SearchStrategy[Scalar] = st.sampled_from(SCALARS)
values: st.SearchStrategy[MetadataValue] = st.sampled_from((*SCALARS, *LISTS))
metadata: st.SearchStrategy[Metadata] = st.dictionaries(st.sampled_from(FIELDS), values)
conditions: st.SearchStrategy[Filter] = st.one_of(
    st.builds(Eq, st.sampled_from(FIELDS), scalars),
    st.builds(In, st.sampled_from(FIELDS), st.lists(scalars, min_size=1, max_size=4).map(tuple)),
    st.builds(Compare, st.sampled_from(FIELDS), st.sampled_from(Order), st.sampled_from(ORDERED)),
    st.builds(Exists, st.sampled_from(FIELDS), st.booleans()),
)


def filters(depth: int) -> st.SearchStrategy[Filter]:
    """Build filters with at most `depth` connectives above a condition."""
    if depth == 0:
        return conditions
    inner = filters(depth - 1)
    children = st.lists(inner, min_size=1, max_size=3).map(tuple)
    return st.one_of(conditions, st.builds(Not, inner), st.builds(And, children), st.builds(Or, children))
