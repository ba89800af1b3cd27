"""Pandas in, pandas out: what was measured becomes scores, tables and plots. Never imports jax."""
