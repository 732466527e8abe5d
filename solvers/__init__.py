"""The solvers: build.py writes their prototxts from the schedules of models/experiments/."""
