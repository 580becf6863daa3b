"""Many runs: reading what they left, and pages about them."""
