"""Recipes: YAML to a checked Recipe, the stage registry, the runner and the built-in recipes."""
