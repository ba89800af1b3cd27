"""Rules as data: one JSON file each, and where their targets come from in `provenance/`."""
