"""Commands that read every frame of a data set: check_command -> lmdb_command."""
