"""Durable state: one SQLite file and the outputs whose committed lengths it holds."""
