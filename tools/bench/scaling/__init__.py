"""How training scales over processes and machines: a measurement, and a plan calculated from it."""
