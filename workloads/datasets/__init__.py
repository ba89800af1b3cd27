"""Data sets that more than one workload uses."""
