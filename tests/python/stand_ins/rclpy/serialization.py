"""Messages as ROS has them on the wire: CDR, little-endian."""

from __future__ import annotations

import struct
from typing import Any

from rosidl_runtime_py.utilities import String

_HEAD = struct.Struct("<4sI")
_PLAIN_LITTLE_ENDIAN = b"\x00\x01\x00\x00"


def serialize_message(message: String) -> bytes:
    text = message.data.encode() + b"\0"
    return _HEAD.pack(_PLAIN_LITTLE_ENDIAN, len(text)) + text


def deserialize_message(serialized_message: bytes, message_type: type[Any]) -> Any:
    try:
        head, size = _HEAD.unpack_from(serialized_message)
    except struct.error as error:
        raise RuntimeError(f"failed to deserialize ROS message: {error}") from error
    text = serialized_message[_HEAD.size : _HEAD.size + size]
    if head != _PLAIN_LITTLE_ENDIAN or len(text) != size or text[-1:] != b"\0":
        raise RuntimeError("failed to deserialize ROS message")
    return message_type(data=text[:-1].decode())
