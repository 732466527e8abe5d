"""The solver's test phases, as Caffe runs them."""
from tools.lib.training.engine import read_outputs, set_position
from tools.lib.training.schedule import tests_before


def run_tests(engine, signals):
    """Runs every test net for its test_iter batches with the current weights.

    Returns [{output blob: mean over the batches}] by test net, with "loss" where the solver
    asks for test_compute_loss; [] when a signal to stop comes in between. Tests serve
    consecutive batches, as a function of the iteration.
    """
    engine.seed_generators()
    results = []
    for net, batches in zip(engine.test_nets, engine.param.test_iter):
        net.share_with(engine.net)
        set_position(net, tests_before(engine.param, engine.iteration) * batches)
        sums = {}
        for _ in range(batches):
            if signals.stop is not None:
                return []
            net.forward()
            for name, value in read_outputs(net).items():
                sums[name] = sums.get(name, 0.0) + value
        if not engine.param.test_compute_loss:
            sums.pop("loss", None)
        results.append({name: value / batches for name, value in sums.items()})
    return results
