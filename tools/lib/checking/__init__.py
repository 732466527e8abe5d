"""Checks of solvers, nets and models before Caffe sees them.

A failed CHECK in Caffe's C++ aborts the whole process.  So everything that comes
from a file passes three gates:

1. `solver`, `net`, `caffemodel`: the file is parsed strictly and its values checked;
   what is wrong is named in one sentence (`data.errors.InputError`).
2. `weights`: what loads by name, what stays as it is, what cannot load.
3. `dry_run`: Caffe itself builds the nets in a child process first; if that child
   dies, its last words become the error message.
"""
