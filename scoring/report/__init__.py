"""Scores to tables, plots and files."""
