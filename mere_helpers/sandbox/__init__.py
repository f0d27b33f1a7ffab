"""Sandboxes: ids, limits, settings, and what may be read of what was left in one."""
