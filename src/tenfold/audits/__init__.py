"""Audits: memorization, fidelity and real-versus-synthetic findings about a synthetic set."""
