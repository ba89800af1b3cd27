"""Data sets: a module each, beside a few that hold what several of them share."""
