"""The commands that walk a whole data set: check_dataset, make_lmdb."""
