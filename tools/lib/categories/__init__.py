"""Class sizes, which the category loss constrains.

statistics_command counts them in the labels of a source; constraint_report_command compares them
with the sizes that a model predicts.
"""
