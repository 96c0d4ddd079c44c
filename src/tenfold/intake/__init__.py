"""Intake: a source of real images becomes a checked manifest, then a sealed split."""
