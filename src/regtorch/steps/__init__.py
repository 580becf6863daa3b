"""What happens at an optimizer's step: gradients before it, proximal steps and projections after it."""
