"""The nets: builders in Python, and the prototxts that they write.

experiments/ holds the settings of every experiment, shapes.py the sizes of the front-end.
frontend.py builds the dilated VGG-16, adaptation.py the train and deploy nets around it, context.py
the released models' context module; build.py writes them all, generated.py compares them.
cost.py counts parameters and memory; imagenet_vgg.py makes the initial weights.
"""
