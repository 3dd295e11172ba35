"""A mergeable quantile sketch of logarithmic buckets (DDSketch, Masson et al. 2019), relative error 1 %."""

from __future__ import annotations

import math

GAMMA = 1.01 / 0.99
SCALE = 1 / math.log(GAMMA)
LEAST, MOST = 1e-9, 1e15
"""Between them 2,800 buckets at most; beyond them values are taken as zero, and as ``MOST``."""


class Sketch:
    """Values of 0 or more; what is below 1e-9 counts as zero."""

    __slots__ = ("buckets", "count", "zeros")

    def __init__(self) -> None:
        self.count = self.zeros = 0
        self.buckets: dict[int, int] = {}

    def add(self, value: float) -> None:
        self.count += 1
        if value < LEAST:
            self.zeros += 1
        else:
            index = math.ceil(math.log(min(value, MOST)) * SCALE)
            self.buckets[index] = self.buckets.get(index, 0) + 1

    def merge(self, other: Sketch) -> None:
        self.count += other.count
        self.zeros += other.zeros
        for index, count in other.buckets.items():
            self.buckets[index] = self.buckets.get(index, 0) + count

    def remove(self, other: Sketch) -> None:
        """Takes out what was merged before."""
        self.count -= other.count
        self.zeros -= other.zeros
        for index, count in other.buckets.items():
            left = self.buckets[index] - count
            if left:
                self.buckets[index] = left
            else:
                del self.buckets[index]

    def quantile(self, q: float) -> float | None:
        """``None`` without values; ``q`` from 0 to 1."""
        if not self.count:
            return None
        left = q * (self.count - 1) - self.zeros
        if left < 0:
            return 0.0
        for index in sorted(self.buckets):
            left -= self.buckets[index]
            if left < 0:
                break
        return 2 * float(GAMMA**index) / (GAMMA + 1)
