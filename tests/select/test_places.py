"""Weights are found again wherever modules or parameters on the way to them were replaced."""

from copy import deepcopy
from pickle import dumps, loads
from threading import Thread

import pytest
import torch
from torch import nn

import regtorch as rt
from regtorch.numerics.unreplaced import NOTHING_REPLACED
from regtorch.select.places import Places
from regtorch.select.weight import weights_of


def _net() -> nn.Sequential:
    return nn.Sequential(nn.Linear(3, 4), nn.Sequential(nn.Linear(4, 5), nn.Linear(5, 2)))


def _found(places: Places) -> list[nn.Parameter | None]:
    return [parameter for _, _, parameter in places.now()]


def test_they_are_the_networks_own_parameters():
    net = _net()
    places = Places(net, weights_of(net))
    for _ in range(2):  # walked, and remembered
        assert list(map(id, _found(places))) == list(map(id, net.parameters()))


def test_they_are_one_object_as_long_as_nothing_is_replaced():
    net = _net()
    places = Places(net, weights_of(net))
    first = places.now()
    assert places.now() is first
    net[0].requires_grad_(False)
    assert places.now() is first
    net[0].weight = nn.Parameter(torch.zeros(4, 3))
    assert places.now() is not first


def test_tensors_of_one_functional_call_are_not_remembered():
    net = _net()
    places = Places(net, weights_of(net))
    before = _found(places)
    inside: list[list[nn.Parameter | None]] = []
    net[0].register_forward_hook(lambda *_: inside.append(_found(places)))
    held = {name: p.detach().clone() for name, p in net.named_parameters()}
    torch.func.functional_call(net, held, torch.zeros(1, 3))
    assert list(map(id, inside[0])) == list(map(id, held.values()))
    assert list(map(id, _found(places))) == list(map(id, before))


@pytest.mark.parametrize("path", ["0", "1", "1.0", "1.1"])
def test_a_replaced_module_is_seen_at_every_depth(path: str):
    net = _net()
    places = Places(net, weights_of(net))
    _found(places)
    net.set_submodule(path, deepcopy(net.get_submodule(path)))
    assert list(map(id, _found(places))) == list(map(id, net.parameters()))


def test_a_replaced_parameter_is_seen():
    net = _net()
    places = Places(net, weights_of(net))
    _found(places)
    net.load_state_dict(deepcopy(net.state_dict()), assign=True)
    assert list(map(id, _found(places))) == list(map(id, net.parameters()))


def test_a_module_that_is_gone_is_named():
    net = _net()
    places = Places(net, weights_of(net))
    _found(places)
    del net[1][1]
    with pytest.raises(LookupError, match=r"no longer has a weight '1\.1\.weight'"):
        places.now()


def test_copies_lead_to_their_own_networks():
    net = _net()
    bound = rt.L2(0.1).on(net)
    bound()
    for copy in (deepcopy(bound), loads(dumps(bound))):
        with torch.no_grad():
            copy.model[0].weight.zero_()
        assert copy() < bound()
        assert [id(w) for _, w in copy.weights()] == [id(p) for p in copy.model.parameters() if p.ndim == 2]


def test_a_weight_that_becomes_computed_is_read_through_its_parametrization():
    net = _net()
    bound = rt.L2(1.0).on(net)
    before = bound()
    torch.nn.utils.parametrizations.weight_norm(net[0])
    with torch.no_grad():
        net[0].parametrizations.weight.original0.mul_(2.0)
    after = before + 3 * net[0].weight.square().sum() / 4
    assert bound().item() == pytest.approx(after.item())


def test_a_look_of_one_thread_is_not_enough_for_another():
    """A step that compiles for seconds must not hide what is replaced elsewhere meanwhile."""
    net = _net()
    places = Places(net, weights_of(net))
    places.now()  # the first look walks
    seen: list[bool] = []

    def elsewhere() -> None:
        before = _found(places)
        net[0] = nn.Linear(4, 4)
        seen.append(_found(places)[0] is before[0])

    with NOTHING_REPLACED:
        thread = Thread(target=elsewhere)
        thread.start()
        thread.join()
    assert seen == [False]
