"""Distributed: the executor that spreads a stage's tasks over a Ray cluster."""
