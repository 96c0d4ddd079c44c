"""Benchmarks: ours against stock and tuned library use, interleaved and with an output check."""
