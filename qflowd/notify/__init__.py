"""Notifications on their way to people: what waits, when it is tried, and the channels that take it."""
