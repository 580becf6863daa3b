"""Training programs as people write them, healthy or with one labelled fault, and what the doctor says of them."""
