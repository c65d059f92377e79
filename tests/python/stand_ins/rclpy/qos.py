"""Quality of service."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class ReliabilityPolicy(enum.Enum):
    RELIABLE = "reliable"
    BEST_EFFORT = "best_effort"


class HistoryPolicy(enum.Enum):
    KEEP_LAST = "keep_last"


@dataclass(frozen=True)
class QoSProfile:
    depth: int
    history: HistoryPolicy
    reliability: ReliabilityPolicy
