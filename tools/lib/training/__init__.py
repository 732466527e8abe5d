"""Training: tools/train.py taken apart.

The order of a run, and the module of each step:

    command_line   options -> the steps below
    solver         solver and net prototxts resolved: seed, weights, output folder filled in
    run_folder     the output folder: fresh, resumed or refused; its files and its lock
    record         what was run: command, versions, commit, seed, data, weights
    engine         Caffe itself: solver and nets built from the resolved prototxts
    weights        initial weights: what loads, what does not, what stops the run
    loop           one iteration after another: step, log, test, snapshot, guard
    snapshots      state on disk, whole or not at all

State is the solverstate and functions of (seed, iteration), nothing else.
"""
