"""Attacks on the defences of the book; each must fail."""
