"""When a solver displays, tests and snapshots, and at which learning rate: pure functions.

`param` is a caffe_pb2.SolverParameter; iterations count from 0 and name the weights
BEFORE the update, as in Caffe's own log.
"""
import bisect
import math


def displays_at(param, iteration):
    """True when Caffe would print the losses of this iteration."""
    return param.display > 0 and iteration % param.display == 0


def tests_at(param, iteration):
    """True when the test nets run before this iteration's update."""
    return (len(param.test_iter) > 0 and param.test_interval > 0
            and iteration % param.test_interval == 0
            and (iteration > 0 or param.test_initialization))


def tests_before(param, iteration):
    """How often the test nets have run before the test of this iteration."""
    count = iteration // param.test_interval
    return count if param.test_initialization else count - 1


def snapshots_at(param, iteration):
    """True when `iteration` updates are a multiple of the snapshot interval."""
    return param.snapshot > 0 and iteration > 0 and iteration % param.snapshot == 0


def learning_rate(param, iteration):
    """The rate of this iteration's update (caffe.proto's lr_policy formulas); None when unknown."""
    base, gamma, power = param.base_lr, param.gamma, param.power
    policy = param.lr_policy
    if policy == "fixed":
        return base
    if policy == "step":
        return base * gamma ** (iteration // param.stepsize)
    if policy == "exp":
        return base * gamma ** iteration
    if policy == "inv":
        return base * (1 + gamma * iteration) ** -power
    if policy == "multistep":
        return base * gamma ** bisect.bisect_right(list(param.stepvalue), iteration)
    if policy == "poly":
        return base * max(0.0, 1 - iteration / param.max_iter) ** power
    if policy == "sigmoid":
        return base / (1 + math.exp(-gamma * (iteration - param.stepsize)))
    return None
