"""Recipes: reading them, checking their pins, and the plan that their dependencies make."""
