"""qflowd shows operators what their flows are doing right now."""

__version__ = "0.1.0"
