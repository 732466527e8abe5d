"""Data sets, their readers, and the batches made from them, in the order in which data flows.

registry.py opens a data set by name: dataset.py with its record (records/) and label_spaces.py.
frame_lists.py finds the frames of a split, folders.py lists folders, reading.py decodes the files.
ordering.py chooses frames and draws random numbers, transforms.py cuts windows, augmentation.py
scales and recolours them, batches.py makes batch k.
prefetch.py and worker.py make batches ahead in processes; sharing.py gives each of several training
processes its own; parallel.py walks a whole data set on the cores that cores.py counts;
child_process.py starts the processes.
counting.py and label_statistics.py measure the labels; split_check.py checks a split.
lmdb_format.py and lmdb_writer.py are the LMDB; toy_scene.py, toy_look.py and toy_export.py the toy.
params.py, files.py, file_kinds.py, machine_memory.py and errors.py are used throughout.
"""
