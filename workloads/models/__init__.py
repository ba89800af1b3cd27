"""Parts and models that more than one workload uses."""
