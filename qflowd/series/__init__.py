"""Everything measured: rings of one-second points, sketches, and the recorder that turns changes into points."""
