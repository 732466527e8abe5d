"""The benchmark behind tools/bench_training.py.

    training_command  command line and table
    training_step     the loop of tools/train.py, bare solver.step and PyTorch, in turns
    torch_env         the Python that has PyTorch, and the process that steps there
    torch_step        the net in PyTorch; imports nothing of this project
    ratios            ratios of paired times
"""
