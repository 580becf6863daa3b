"""`regtorch path`: many settings of one net trained side by side, as one stacked model."""
