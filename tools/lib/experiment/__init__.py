"""Runs the stages of an experiment in order and reports on them; in the order of a run:

plan.py            the tasks: commands, what each needs first, the file that it leaves
placement.py       the devices and the precision: as asked, else as earlier runs recorded them
hours.py           how long the training takes, from logs or from measured passes
preconditions.py   refuses missing data, and results that were made with other settings
scheduler.py       runs the tasks, several at a time
report.py          tables over stages and seeds, and a picture
paper.py           the paper's tables with our numbers beside them (paper_tables.json)
comparison.py      stages of several experiments side by side, for tools/compare_experiments.py
tuning.py          variants of one stage, for tools/tune_adaptation.py
"""
