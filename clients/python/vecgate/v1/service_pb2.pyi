from vecgate.v1 import collection_pb2 as _collection_pb2
from vecgate.v1 import encode_pb2 as _encode_pb2
from vecgate.v1 import ingest_pb2 as _ingest_pb2
from vecgate.v1 import model_pb2 as _model_pb2
from vecgate.v1 import read_pb2 as _read_pb2
from vecgate.v1 import search_pb2 as _search_pb2
from vecgate.v1 import server_info_pb2 as _server_info_pb2
from vecgate.v1 import write_pb2 as _write_pb2
from google.protobuf import descriptor as _descriptor
from typing import ClassVar as _ClassVar

DESCRIPTOR: _descriptor.FileDescriptor
