"""Many settings of one net trained side by side: strengths, dropout rates, bounds and seeds as one stacked model."""
