"""Signals."""

import enum


class SignalHandlerOptions(enum.Enum):
    NO = 0
    ALL = 3
