"""Training programs as people write them, healthy and with one labelled fault each, and what the doctor says of them."""
