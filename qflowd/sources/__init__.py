"""The doors in: every source translates what it hears into :class:`qflowd.model.Event` or samples."""
