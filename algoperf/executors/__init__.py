"""Where trials run: each in a fresh process."""
