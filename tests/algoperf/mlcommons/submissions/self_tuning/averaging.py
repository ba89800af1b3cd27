"""What lies beside a submission: the average of parameters."""

import jax


def averaged(average, params, rate):
    return jax.tree.map(lambda a, p: rate * a + (1.0 - rate) * p, average, params)
