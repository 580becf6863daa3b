"""Rules at optimizer steps: gradients before a step, proximal steps and projections after it."""
