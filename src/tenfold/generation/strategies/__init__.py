"""Strategies: each draws the pixels of one batch of requests."""
