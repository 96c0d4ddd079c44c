"""Evaluation: prediction tables to metrics, paired comparisons and a verdict."""
