"""A stand-in: the only message type is std_msgs/msg/String."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class String:
    data: str = ""


def get_message(identifier: str) -> type[String]:
    if identifier != "std_msgs/msg/String":
        raise ModuleNotFoundError(f"no message type {identifier}")
    return String
