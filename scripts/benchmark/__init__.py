"""What a rule costs: time and memory of a training step with and without it, as ratios; `scripts/bench.py` runs it."""
