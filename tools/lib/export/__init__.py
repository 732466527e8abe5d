"""Trained nets for machines without Caffe, in the order in which an export runs:

export_command   command line of tools/export_onnx.py
onnx_graph       the graph: its inputs, outputs and metadata, layer after layer
onnx_layers      one function a layer type of Caffe: the ONNX nodes that compute the same
"""
