"""Hostile input: changes files at random, gives them to the commands, counts how these end.

    mutations   how text, bytes, PNGs, JSON and protocol buffers are changed; a function of the seed
    subjects    the kinds of input files, and what the commands do with them
    other_inputs  more of them: nets of other people, videos, odd folders; EVERY subject
    campaign    runs mutations in child processes and counts how they end
    record      the counts over several seeds, in a file, and the page

Every case must end in success or in an InputError with a message: never in a signal, a
hang, another exception, or a changed input file.  Command: tests/fuzz.py.
"""
