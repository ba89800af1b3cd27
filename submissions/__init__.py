"""Training algorithms: one file each, its search space in it. A file's existence registers it."""
