"""Settings of how much callers may ask for."""

from __future__ import annotations

from pydantic import Field

from vecgate_server.config_section import Section


class LimitSettings(Section):
    """What a request may ask for; GetServerInfo tells clients, and a stream is told its window."""

    max_message_bytes: int = Field(
        default=67_108_864, ge=65_536, le=2_147_483_647, description="Bytes of one message in either direction."
    )
    max_batch: int = Field(default=1_000, ge=1, le=100_000, description="Texts, records, queries or ids of one call.")
    max_top_k: int = Field(default=10_000, ge=1, le=1_000_000, description="Matches of one search.")
    max_matches: int = Field(
        default=1_000_000, ge=1, le=100_000_000, description="Matches of one call, of all its queries together."
    )
    max_page_size: int = Field(
        default=1_000, ge=1, le=100_000, description="Records, values or collections of one page."
    )
    max_dimension: int = Field(default=16_384, ge=1, le=65_536, description="Components of a vector.")
    max_metadata_fields: int = Field(default=256, ge=0, le=65_536, description="Metadata fields of one record.")
    max_metadata_bytes: int = Field(
        default=65_536, ge=0, le=16_777_216, description="Bytes of one record's metadata, names and values."
    )
    max_text_bytes: int = Field(default=1_048_576, ge=0, le=67_108_864, description="Bytes of one text.")
    # Each level of a filter is two messages deep, and protobuf refuses messages nested deeper than 100.
    max_filter_depth: int = Field(
        default=32, ge=1, le=45, description="Nesting of a filter; a lone condition is 1 deep."
    )
    max_filter_terms: int = Field(
        default=4_096, ge=1, le=1_000_000, description="Conditions and listed values of a filter."
    )
    max_concurrent_calls: int = Field(
        default=512, ge=1, le=1_000_000, description="Calls in hand at once; more are refused with a time to come back."
    )
    max_bytes_in_hand: int = Field(
        default=536_870_912, ge=65_536, le=2**40, description="Bytes of the requests of all calls in hand."
    )
    max_calls_per_connection: int = Field(
        default=1_024, ge=1, le=1_000_000, description="Calls and streams of one connection; clients hold back more."
    )
    max_waiting_calls: int = Field(
        default=256,
        ge=2,
        le=1_000_000,
        description="Calls that wait to be let in; from half of it on some are dropped.",
    )
    max_streams: int = Field(default=128, ge=1, le=1_000_000, description="Open UpsertStreams.")
    max_streams_per_key: int = Field(
        default=0, ge=0, le=1_000_000, description="Open UpsertStreams of one API key; 0: no limit."
    )
    max_calls_per_key: int = Field(
        default=0, ge=0, le=1_000_000, description="Calls in hand of one API key; 0: no limit."
    )
    requests_per_second_per_key: float = Field(
        default=0.0, ge=0, le=1_000_000, description="Requests a second of one API key; 0: no limit."
    )
    tokens_per_second_per_key: float = Field(
        default=0.0, ge=0, le=1e9, description="Tokens a second that models read for one API key; 0: no limit."
    )
    burst_seconds: float = Field(
        default=10.0, gt=0, le=3_600, description="How much of a rate may be used at once, in seconds of it."
    )
    max_unread_answer_bytes: int = Field(
        default=268_435_456,
        ge=65_536,
        le=2**40,
        description="Memory of answers that callers have not taken yet, in bytes.",
    )
    stream_window_records: int = Field(
        default=8_192,
        ge=1,
        le=100_000_000,
        description="Records that all open UpsertStreams together may have under way.",
    )
    stream_window_bytes: int = Field(
        default=67_108_864, ge=1, le=2**40, description="Bytes that all open UpsertStreams together may have under way."
    )
