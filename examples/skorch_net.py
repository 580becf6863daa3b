"""skorch: the callback attaches at every `fit`, which makes module and optimizer anew; a grid search sets its rules."""

import torch
from sklearn.model_selection import GridSearchCV
from skorch import NeuralNetClassifier
from torch import nn

import regtorch as rt
from problem import inputs, net
from regtorch.skorch import Regularize


def classifier() -> NeuralNetClassifier:
    """A net with an L2 penalty on the kernels."""
    return NeuralNetClassifier(
        net,
        criterion=nn.CrossEntropyLoss,
        optimizer=torch.optim.Adam,
        lr=1e-2,
        batch_size=32,
        max_epochs=5,
        train_split=None,
        iterator_train__shuffle=False,
        callbacks=[("regularize", Regularize([rt.L2(1e-3)]))],
        verbose=0,
    )


def train() -> nn.Module:
    """Fit; the history has the penalty of each epoch."""
    x, y = inputs()
    found = classifier().fit(x.numpy(), y.numpy())
    for row in found.history:
        print(f"epoch {row['epoch']}: task loss {row['train_loss']:.4f}, penalty {row['penalty']:.4f}")
    return found.module_


def search() -> rt.Penalty:
    """Choose a strength by cross-validation."""
    x, y = inputs()
    rules = [[rt.L2(lam)] for lam in (1e-4, 1e-3, 1e-2)]
    found = GridSearchCV(classifier(), {"callbacks__regularize__rules": rules}, cv=3).fit(x.numpy(), y.numpy())
    print(f"best {found.best_params_}, accuracy {found.best_score_:.3f}")
    return found.best_params_["callbacks__regularize__rules"][0]


if __name__ == "__main__":
    train()
    search()
