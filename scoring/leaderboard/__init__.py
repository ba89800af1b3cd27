"""Logs to time-to-result, to performance profiles, to scores with their uncertainty."""
