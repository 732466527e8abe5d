"""Training: what tools/train.py does, from its command line to the last snapshot.

The modules in the order in which a run goes through them:

    run         command line; the steps of tools/train.py in order
    solver      solver and net prototxts resolved: seed, weights, output folder; the schedule
    engine      Caffe itself: solver and nets, seeds, one iteration, test phases
    loop        one iteration after another: step, log, test, snapshot, guard; signals
    snapshots   the state on disk, whole or not at all, and the list of complete snapshots
    record      record.json: command, versions, commit, seed, data, weights
    run_folder  the output folder: started, resumed or refused; its prototxts and its lock
    probes      how adaptation acts: gradients of its losses, features, presence of classes
    guards      what stops a run (nan), and warnings about its curves
    log         log.jsonl, its plot, and the progress line
    parallel    several processes that train one net together
    nccl        their exchange of gradients between GPUs
    weights     initial weights: what loads, what does not, what stops the run

The state of a run is Caffe's solverstate and functions of (seed, iteration), nothing else.
"""
