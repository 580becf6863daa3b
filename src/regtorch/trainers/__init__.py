"""What the callbacks for all trainers share: the rules given to them, bound and attached for one training."""
