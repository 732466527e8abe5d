"""Data sets as small records, their readers, and the samples drawn from them."""
