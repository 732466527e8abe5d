"""Runs Cityscapes' evaluation over the pairs given as JSON on standard input; prints JSON.

    python3 tools/bench/official_run.py PACKAGE_FOLDER < pairs.json

Imports nothing of this project. Instance scores are off, so that both evaluations count the same.
"""
import json
import math
import resource
import sys
import time

if __name__ == "__main__":
    sys.path.insert(0, sys.argv[1])
    from cityscapesscripts.evaluation import evalPixelLevelSemanticLabeling as official

    args = official.args
    args.evalInstLevelScore, args.JSONOutput, args.quiet = False, False, True
    pairs = json.load(sys.stdin)
    started = time.perf_counter()
    found = official.evaluateImgLists([p for p, _ in pairs], [t for _, t in pairs], args)
    seconds = time.perf_counter() - started
    scores = {name: None if math.isnan(value) else value
              for name, value in found["classScores"].items()}
    print()
    print(json.dumps(dict(iou=scores, mean=found["averageScoreClasses"], seconds=seconds,
                          peak_bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)))
