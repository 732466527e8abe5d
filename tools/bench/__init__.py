"""Everything that measures: the commands, and below them the modules that they share.

    bench_training       a step of tools/train.py against bare Caffe, PyTorch, and GA against source
    bench_gpu            a GA + CA step on a GPU, in each build of Caffe and in PyTorch
    bench_layers         the share of the Python layers in a full-width step
    bench_normalisation  time and error of RMSNorm beside Caffe's LRN
    bench_constraints    the solver of the size constraints against scipy's L-BFGS-B
    bench_reading        a data set as a folder against its LMDB, in frames a second
    bench_scoring        the scoring of saved predictions against Cityscapes' own evaluation
    bench_deployment     a net in Caffe, ONNX Runtime and OpenCV
    bench_report         the report page of some runs: time, memory, size, and its picture
    bench_scaling        a step of several processes, and a plan for several GPUs
    bench_long_runs      kills that a run survives, and its memory over many iterations
    bench_fresh_machines the set-up and README.md's commands on minimal machines, as new users

    timing               ratios of paired times, and the machine that they were taken on
    random_nets          train nets with random images in the place of their data layer
    layer_costs          seconds of each layer, bytes that a Python layer touches
    training_step        a step by tools/train.py, by bare solver.step and by PyTorch, in turns
    step_process         a process that takes a step for each line it reads
    caffe_step           such a process, with the GA + CA net in Caffe
    torch_step           such a process, with the source-only net in PyTorch
    torch_adapted        the GA + CA net in PyTorch
    torch_env            the Python that has PyTorch; tools/build/write_locks.py writes its locks/
    gpu_engines          the engines of bench_gpu, their turns, the largest batch that fits
    constraint_problems  made problems for the solver of the size constraints
    constraint_threads   the constraint loss with 1, 2 and 16 threads of the matrix library
    sample_labels        drawn label maps and flawed predictions, to score
    official             Cityscapes' evaluation; official_run runs it in a process of its own
    onnx_runtime         ONNX Runtime in a folder of its own
    chromium             a Chromium that shows the report page
    scaling_plan         the calculation for several GPUs
    toy_run              starts tools/train.py on the toy
    long_run_kills       kills a toy run at random moments
    long_run_memory      watches the memory of a toy run
    minimal_tree         a minimal Debian in a folder, removed without a trace
"""
