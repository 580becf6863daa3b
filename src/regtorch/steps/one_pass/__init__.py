"""Steps of torch's optimizers with the attached rules in the optimizer's own pass, compiled by inductor."""
