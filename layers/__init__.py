"""Python layers for Caffe, one class a file, and beside them their mathematics in numpy.

In the order in which data flows (README.md has a sentence and equation on each):

source_target_data       the data layer: source and target images in one batch
domain_gate              from the features to the domain classifier, and the gradient back
rms_norm                 normalises what the classifier sees; mathematics: feature_rms
domain_adversarial_loss  Eq. 2 to 7; mathematics: domain_confusion
constrained_mil_loss     Eq. 8; mathematics: category_targets, size_constraints, and for its
                         solver size_dual and box_newton
domain_classifier_check  checks the layers between gate and loss
gpu_arrays               the GPU's part of gate and RMSNorm
"""
