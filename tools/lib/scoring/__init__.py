"""Running a deploy net on images, scoring its predictions and drawing them.

In the order in which data flows: net_options (command line) -> net_geometry (stride and margin of
the net) -> predictor (scores and labels of an image) -> evaluate (confusion counts of a split) or
pictures and video (colours, overlays, grids) -> score_command, predict_command, figure_command.
"""
