"""One module a data set. Each defines RECORDS, a tuple of data.record.Record; the registry finds
them here."""
