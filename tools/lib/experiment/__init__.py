"""Runs the stages of an experiment in order and reports on them."""
