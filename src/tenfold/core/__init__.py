"""Core: errors, config, seeds, hashing, files, workspace, run record, executor and environment."""
