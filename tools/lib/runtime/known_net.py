"""A net whose numbers are known beforehand, run once each way: does Caffe compute right?"""
import os

import caffe


def passes_of_ones(text, output, folder):
    """The net after a pass forward with ones in its blob `data`, and one backward with ones as the
    gradient of `output`.

    text: a net prototxt.  folder: where it may write the text for Caffe to read.
    """
    path = os.path.join(folder, "known.prototxt")
    with open(path, "w") as file:
        file.write(text)
    net = caffe.Net(path, caffe.TRAIN)
    net.blobs["data"].data[...] = 1
    net.forward()
    net.blobs[output].diff[...] = 1
    net.backward()
    return net
