"""Builds BVLC Caffe from Debian's source package, for the CPU or for CUDA, as one relocatable
folder."""
