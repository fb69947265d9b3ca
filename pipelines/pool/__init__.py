"""Supervised worker processes (standard library only)."""
