"""Finds, sets up and enters the Caffe runtime. Standard library only, Python 3.8 or later."""
