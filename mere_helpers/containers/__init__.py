"""Containers: ids, limits, layers, and what may be read of what was left in one."""
