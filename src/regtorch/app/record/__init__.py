"""What runs leave in their folders, and what is read from it: records, rankings, axes, commands."""
