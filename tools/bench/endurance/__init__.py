"""What a long run has to endure, measured on the real command: kills and time."""
