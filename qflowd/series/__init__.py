"""Everything measured: rings of one-second points, sketches, and the recorder that turns changes into points."""

LOOKBACK = 300_000
"""Milliseconds for which a point speaks for its series where no newer one came, as in Prometheus."""
