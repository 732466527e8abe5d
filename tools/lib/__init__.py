"""The packages behind the commands, in the order in which they may import each other.

command.py, outputs.py   errors, exit codes and numbers of every command; the checks of its outputs
dataset_options.py       the options that choose a data set
device_options.py        the options that choose where a command computes: CPU, GPU, TF32
tables.py                tables as text, Markdown, LaTeX and CSV
confusion.py, results.py confusion counts, scores, and the files that hold them
runtime/                 finds, sets up and enters the Caffe runtime
checking/                reads prototxts, weights and devices before Caffe does
export/                  trained nets as ONNX files
training/                a run, from the command line to snapshots
scoring/                 a net's predictions, their scores and pictures
categories/              label statistics and the report on constraints
datasets/                checks a data set, packs it into LMDB
experiment/              the paper's experiments: plan, stages, tables
report/                  runs as one HTML page
"""
