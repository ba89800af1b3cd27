"""Data sets on disk: stores of records, their preparation, and batches read from them at random."""
