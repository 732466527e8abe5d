"""Running a deploy net on images, scoring its predictions and drawing them.

In the order in which data flows: net_options (command line) -> deploy_net (the net's input, output
and layers) -> net_geometry (stride and margin; whether tiles are allowed) -> label_maps (upsampling
and arg max) -> tiled_net, or whole_net where tiles are not allowed -> predictor (scores and labels
of an image) -> evaluate (confusion counts of a split) or pictures and video (colours, overlays,
grids) -> score_command, predict_command, figure_command.
"""
