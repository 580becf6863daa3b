"""The search for settings: a thin layer on Optuna's ask and tell, with trials that any number of workers share."""
