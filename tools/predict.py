# PYTHON_ARGCOMPLETE_OK
"""Labels images, folders of images and videos with a trained net.

    python3 tools/predict.py --model models/toy/deploy.prototxt --weights A.caffemodel \
        --label-space toy --output predicted street.png holiday.mp4 folder_of_frames
"""
import _init_paths  # noqa: F401

from tools.lib.runtime.enter import enter_runtime

enter_runtime()

from tools.lib.command import run_command
from tools.lib.scoring.predict_command import main

if __name__ == "__main__":
    run_command(main)
