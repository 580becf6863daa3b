"""What a config may say: kinds, ranges, targets, and the objects made of it."""
