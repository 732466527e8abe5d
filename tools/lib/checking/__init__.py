"""Checks of solvers, nets and weights before Caffe sees them.

A failed CHECK in Caffe's C++ aborts the whole process.  So a file passes these modules first,
in this order, and a fault is named in one sentence (`data.errors.InputError`):

    prototxt      the text is parsed strictly; an unknown name is answered with near ones
    forks         names of layers and fields that only forks of Caffe have
    solver_file   the solver's numbers, learning rate and method, and the nets that it names
    upgrade       old formats of nets are brought to the current one
    net           the layers that run in a phase: names, types, wiring; labels against scores
    layer_fields  the values inside one layer
    stock_data    the pictures and labels of Caffe's own data layers
    gradients     layers that Caffe cannot compute on the CPU, or has no gradient for
    dry_run       Caffe builds the nets in a child process; Caffe's log tells why the child died
    whole_step    Caffe takes one step of an unknown net in a child process
    weights_kind  refuses other kinds of files given as weights, by their content
    caffemodel    the weights: what loads by name, what stays as it is, what cannot load
    memory        whether a training step fits the memory that there is
    device        whether the GPU is there and computes right; puts Caffe on it
"""
