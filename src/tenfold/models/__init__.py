"""Models: checkpoints, the embedded base, diffusers pipelines, classifiers and features."""
