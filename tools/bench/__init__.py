"""The benchmarks behind tools/bench/bench_training.py, tools/bench/bench_layers.py and
tools/bench/bench_gpu.py.

    training_command  command line and table of bench_training
    training_step     the loop of tools/train.py, bare solver.step and PyTorch, in turns
    layer_times       a net with random images, its layers timed one by one
    gpu_command       command line and tables of bench_gpu
    gpu_step          the engines of bench_gpu, their turns, the largest batch that fits
    caffe_step        a process that takes GA + CA steps in Caffe
    layer_traffic     what a Python layer takes to the host
    step_process      such a process, seen from outside
    torch_env         the Python that has PyTorch, and the process that steps there
    torch_lock        writes its lists of packages
    torch_step        the source-only net in PyTorch; imports nothing of this project
    torch_adapted     the GA + CA net in PyTorch
    ratios            ratios of paired times
"""
