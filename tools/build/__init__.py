"""Builds BVLC Caffe from Debian's source package, for CUDA or the CPU, as one relocatable folder.

In the order of a build:

build_caffe.py    the command
source_build.py   the phases, each done once; the finished folder and its record
toolchain.py      what the machine must have: programs, headers of this Python
parts.py          what is fetched: Debian's sources and libraries, wheels; Boost.Python
patches.py        the changes to Caffe's source, in patches/, applied by git
configure.py      the command line of cmake
bundle.py         from the compilation to a folder that can be moved; the archive
build_page.py     the page about the contents of a build
write_locks.py    a command of its own: writes all lock files of the project anew
"""
