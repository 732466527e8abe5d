"""The data sets' records: one module a data set, found here by data/registry.py.

Each module defines RECORDS, a tuple of data.dataset.DatasetSpec.
"""
