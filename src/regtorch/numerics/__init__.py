"""Numerical building blocks: scale-safe norms, singular values, in-place gradients, sharded tensors."""
