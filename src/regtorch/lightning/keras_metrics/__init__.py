"""Keras's metrics as torchmetrics, with its arithmetic, and all those of a net by name."""
