"""Training: what tools/train.py does, from its command line to the last snapshot.

The modules in the order in which a run goes through them:

    run               the command line, and the steps of tools/train.py in order
    solver            solver and net prototxts with every value filled in; the schedule
    engine            Caffe's solver and nets: seeds, one iteration, the test phases
    classifier_steps  further updates of the domain classifier within an iteration
    loop              iteration after iteration: step, log, test, snapshot; signals
    snapshots         the state on the disk, whole or not there, and the list of complete snapshots
    record            record.json: command, versions, commit, seed, data, weights
    run_folder        the output folder: started, resumed or refused; its prototxts and its lock
    probes            numbers on adaptation: gradients of its losses, features, presence of classes
    guards            stops for nan and infinity, and warnings about curves
    log               log.jsonl, its plot, and the progress line
    parallel          several processes that train one net together
    nccl              the exchange of gradients between their GPUs
    weights           initial weights: which files are loaded and which layers they fill

The state of a run is that of Caffe's solvers: the run's own, and the one of the classifier's
further steps. Everything else is a function of (seed, iteration).
"""
