"""`regtorch search`: trials by Optuna's ask and tell, shared by any number of workers."""
