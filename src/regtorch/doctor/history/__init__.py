"""What a training's curves tell: histories of every source, and the causes that their shapes show."""
