"""What formulas compute with: norms at every magnitude, singular values, gradients added in place, sharded tensors."""
