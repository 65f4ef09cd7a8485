"""Engines: the same plan, the same answers. ``reference`` is the definition."""
