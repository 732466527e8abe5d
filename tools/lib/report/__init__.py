"""The report page: runs as one HTML file. tools/report.py goes through the modules in this order:

report_command  the command line; writes the page once, or again while the runs go on
run_files       what each run's folder holds: record, log, snapshots, results of tools/test.py
facts           what was run, in words
curves          the log's values as lines of small charts
score_tables    IoU a class with the paper's numbers beside it, and confusion matrices
frames          frames of the test set with the nets' predictions, most changed first
strips          filmstrips: predictions of fixed frames at every snapshot
class_sizes     predicted class sizes against the source's alpha, delta and gamma
page            fills the template with all of it (templates/)
"""
