"""Metrics: pure numbers on arrays, without torch."""
