"""Data checks: what a person should know of the images before any training."""
