"""Workloads: one file a family, its variants beside it. A file's existence registers it."""
