"""Random numbers as a function of (seed, iteration)."""
import numpy as np


def step_seed(seed, iteration):
    """The 32-bit seed of Caffe's generator for one iteration.

    Neighbouring seeds and iterations give unrelated streams, so that a run with seed
    2 is not the run with seed 1 shifted by one.
    """
    return int(np.random.SeedSequence((seed, iteration)).generate_state(1)[0])
