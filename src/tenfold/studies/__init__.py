"""Studies: learning-curve and ratio designs planned as cells, run on an executor."""
