"""What a strength does: nothing, help, harm."""

from __future__ import annotations

from statistics import fmean

import torch

import regtorch as rt
from concepts.digits import accuracy, fit, mlp, split
from concepts.sheet import panels
from regtorch.plot.panel import FAINT, Axis, Guide, Panel, Series, look

__all__ = ["drawn"]

_STRENGTHS = [10 ** (power / 2) for power in range(-12, 2)]
_SEEDS = range(3)


def drawn() -> str:
    found = {lam: [_trained(lam, seed) for seed in _SEEDS] for lam in (0.0, *_STRENGTHS)}
    trained, tested, norm = ([fmean(run[n] for run in found[lam]) for lam in _STRENGTHS] for n in range(3))
    without = [fmean(run[n] for run in found[0.0]) for n in range(3)]
    axis = Axis("λ of rt.L2(λ)", log=True)
    best = max(tested)
    return panels(
        "strength",
        [
            Panel(
                "Accuracy",
                f"held out {without[1]:.2f} without, {best:.2f} at best",
                axis,
                Axis("accuracy"),
                [
                    Series(
                        _STRENGTHS,
                        trained,
                        "on its 200 samples, a fifth of whose labels is wrong",
                        look(1),
                        marker="s",
                    ),
                    Series(_STRENGTHS, tested, "on 1,597 held-out samples", look(0), marker="o"),
                ],
                [Guide(without[1], label="held out, without the penalty")],
            ),
            Panel(
                "Norm of the weights",
                "falls along the strength",
                axis,
                Axis("‖w‖", low=0),
                [Series(_STRENGTHS, norm, "", look(2), marker="^"), Series([], [], "", FAINT)],
                [Guide(without[2])],
            ),
        ],
    )


def _trained(lam: float, seed: int) -> tuple[float, float, float]:
    train, test = split(200, 0.2, seed)
    torch.manual_seed(seed)
    net = mlp()
    optimizer = torch.optim.Adam(net.parameters(), lr=0.005)
    rt.L2(lam).on(net).attach(optimizer)
    fit(net, train, optimizer, 400)
    norm = sum(p.detach().square().sum() for name, p in net.named_parameters() if name.endswith("weight"))
    return accuracy(net, train), accuracy(net, test), float(norm) ** 0.5
