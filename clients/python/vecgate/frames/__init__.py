"""pandas and Arrow, in and out: `pip install 'vecgate[frames]'`.

    from vecgate.frames import Columns, records_from, to_arrow, to_pandas

    client.upsert("docs", records_from(frame, Columns(text="body")))
    to_pandas(client.search("docs", "Where is the cat?"))
    to_arrow(client.list("docs"))

Neither package is imported before one of these functions needs it. What goes in comes out: integers stay integers, times keep
their nanoseconds, a list of strings is one, and a null is an absent field.
"""

from vecgate.frames.columns import Columns
from vecgate.frames.records import records_from
from vecgate.frames.to_arrow import to_arrow
from vecgate.frames.to_pandas import to_pandas

__all__ = ["Columns", "records_from", "to_arrow", "to_pandas"]
