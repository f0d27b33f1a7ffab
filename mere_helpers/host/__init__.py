"""The host: what it must have, what it has, and what mends the difference."""
