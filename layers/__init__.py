"""Python layers for Caffe, one class a file, and beside them their mathematics; README.md."""
