"""What a notebook shows: text that reads as printed, HTML without a way out of its cell."""

from __future__ import annotations

import io
import pickle
from html.parser import HTMLParser
from typing import Any

import pytest
import torch
from torch import nn

import regtorch as rt
from regtorch.doctor.finding import Finding, Findings
from regtorch.doctor.remedy import Remedy
from regtorch.select.receipt import Receipt

NASTY = "<script>alert(1)</script>&\"'"
VOID = {"br", "hr", "img"}


class Read(HTMLParser):
    """Tags, attributes and text; refuses tags that are not closed in order."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.words: list[str] = []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag not in VOID
        self.open.append(tag)
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return "".join(self.words)


class Printer:
    """As much of IPython's printer as a `_repr_pretty_` may use here."""

    def __init__(self) -> None:
        self.file = io.StringIO()

    def text(self, words: str) -> None:
        self.file.write(words)


def pretty(thing: Any) -> str:
    printer = Printer()
    thing._repr_pretty_(printer, False)
    return printer.file.getvalue()


def a_net() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Linear(3, 2))


def a_finding(**changed: Any) -> Finding:
    given = {"cause": "penalty_dominates", "where": "0.weight", "severity": "severe", "why": "It is large.", **changed}
    return Finding(change="Divide it by 10.", **given)


def shown_things() -> dict[str, Any]:
    net = a_net()
    x = torch.randn(8, 4)
    activity = rt.Activity(rt.L1(0.1), select="type:BatchNorm1d").on(net)
    net(x)
    curves = {"loss": [1.2, 0.7, 0.4, 0.2, 0.1, 0.05], "val_loss": [1.1, 0.8, 0.7, 0.8, 1.0, 1.2]}
    masks = {"0.weight": torch.ones(3, 4) > 0}
    return {
        "receipt": rt.L2(0.01).on(net).receipt(),
        "receipt of a sum": (rt.L2(0.01).on(net) + rt.L1(0.1).on(net)).receipt(),
        "receipt of groups": rt.param_groups(net, 0.1).receipt(),
        "groups": rt.param_groups(net, 0.1),
        "selection": rt.L2(0.01, select="kernel|name:gone.*").on(net).selection,
        "rule": rt.L2(0.01),
        "constraint": rt.MaxNorm(2.0),
        "masked rule": rt.masked(rt.L1(0.1), masks),
        "output rule": rt.KLSparsity(0.05, 3.0),
        "bound penalty": rt.L2(0.01).on(net),
        "bound constraint": rt.MaxNorm(2.0).on(net),
        "bound sum": rt.L2(0.01).on(net) + rt.L1(0.1).on(net),
        "bound activity": activity,
        "finding": a_finding(),
        "findings": Findings([a_finding(remedy=Remedy("rate", value=0.1))]),
        "no findings": Findings(),
        "reading": rt.read_history(curves),
        "remedy": Remedy("dropout rate", ("2",), 0.2),
    }


NAMES = list(shown_things())


@pytest.mark.parametrize("name", NAMES)
def test_html_is_whole_says_something_and_needs_nothing_else(name: str):
    html = shown_things()[name]._repr_html_()
    read = Read(html)
    assert len(read.text) > 5
    assert not {"script", "link", "style", "img", "iframe"} & set(read.tags)
    assert not {"src", "href", "class", "id", "onclick"} & {key for key, _ in read.attributes}
    styles = " ".join(value or "" for key, value in read.attributes if key == "style")
    assert not [word for word in ("background", "color", "url") if word in styles]


@pytest.mark.parametrize("name", NAMES)
def test_the_text_of_a_thing_is_what_is_printed(name: str):
    thing = shown_things()[name]
    assert "\\n" not in str(thing)
    assert pretty(thing) == str(thing)


def test_a_receipt_is_shown_as_it_is_printed_and_stays_a_string():
    text = rt.L2(0.01).on(a_net()).receipt()
    assert isinstance(text, Receipt)
    assert repr(text) == str(text) == f"{text}"
    assert type(str(text)) is str
    assert text == str(text)
    assert hash(text) == hash(str(text))
    assert text.splitlines()[0].startswith("L2(lam=0.01): 2 weights")
    assert type(text[:5]) is str
    assert text[:5] == "L2(la"
    assert isinstance(pickle.loads(pickle.dumps(text)), Receipt)
    assert pickle.loads(pickle.dumps(text)) == text
    assert Read(text._repr_html_()).text == text


def test_a_receipt_in_a_checkpoint_is_read_without_trust(tmp_path: Any):
    text = rt.L2(0.01).on(a_net()).receipt()
    torch.save({"receipt": text}, tmp_path / "checkpoint.pt")
    assert torch.load(tmp_path / "checkpoint.pt", weights_only=True) == {"receipt": text}


def test_names_cannot_leave_their_cell():
    nasty = a_finding(where=NASTY, why=NASTY)
    for thing in (nasty, Findings([nasty]), Receipt(NASTY), Remedy("dropout rate", (NASTY,), 0.2)):
        read = Read(thing._repr_html_())
        assert "script" not in read.tags
        assert "alert(1)" in read.text
    net = nn.ModuleDict({"<b>": nn.Linear(2, 2)})
    assert "b" not in Read(rt.L2(0.1).on(net)._repr_html_()).tags
    assert "<b>.weight" in Read(rt.L2(0.1).on(net)._repr_html_()).text


def test_a_bound_rule_shows_its_weights_and_why_others_are_left_out():
    text = Read(rt.L2(0.01).on(a_net())._repr_html_()).text
    for words in ("L2(lam=0.01)", "2 weights, 18 parameters", "0.weight", "3×4", "2.weight", "1.bias", "norm"):
        assert words in text, words


def test_a_selection_shows_what_is_chosen_and_why_others_are_not():
    selection = shown_things()["selection"]
    for text in (str(selection), Read(selection._repr_html_()).text):
        for words in (
            "kernel|name:gone.*",
            "2 weights, 18 parameters",
            "0.weight",
            "3×4",
            "1.bias",
            "name:gone.*",
            "norm",
        ):
            assert words in text, words
    assert str(selection).splitlines()[1:3] == ["    0.weight  3×4  12", "    2.weight  2×3   6"]


def test_groups_are_shown_as_their_receipt_and_stay_a_list():
    groups = rt.param_groups(a_net(), 0.1)
    assert str(groups) == groups.receipt()
    assert groups == [*groups]
    assert repr(groups).startswith("[{'params'")


def test_a_sum_shows_each_of_its_terms():
    total = rt.L2(0.01).on(a_net()) + rt.L1(0.1, select="bias").on(a_net())
    text = Read(total._repr_html_()).text
    assert "L2(lam=0.01)" in text
    assert "L1(lam=0.1, select='bias')" in text


def test_a_rule_shows_what_it_is_for():
    assert "kernel" in Read(rt.L2(0.01)._repr_html_()).text
    assert "L2(lam=0.01)" in Read(rt.L2(0.01)._repr_html_()).text


def test_findings_read_as_advice():
    findings = Findings([a_finding(remedy=Remedy("rate", value=0.1))])
    text = str(findings)
    assert text.splitlines()[0] == "1  severe  The penalty is strong: 0.weight"
    assert "It is large." in text
    assert "Change: Divide it by 10." in text
    html = Read(findings._repr_html_()).text
    for words in ("severe", "0.weight", "It is large.", "Divide it by 10.", 'group["lr"] = 0.1'):
        assert words in html, words
    assert str(findings[0]) == "\n".join(text.splitlines()).removeprefix("1  ").replace("\n   ", "\n")


def test_no_finding_is_said_in_words():
    assert str(Findings()) == "Nothing found that needs a change."
    assert Read(Findings()._repr_html_()).text == "Nothing found that needs a change."


def test_diagnose_and_watch_return_findings():
    net = nn.Linear(4, 3)
    batches = [(torch.randn(32, 4), torch.randint(0, 3, (32,))) for _ in range(2)]
    found = rt.diagnose(net, nn.functional.cross_entropy, batches, rules=[rt.L2(100.0)])
    assert isinstance(found, Findings)
    assert "penalty_dominates" in [finding.cause for finding in found]
    assert list(found) == found
    with rt.watch(net, torch.optim.SGD(net.parameters(), lr=0.1)) as watching:
        assert isinstance(watching.findings, Findings)


def test_a_reading_is_findings_under_the_ends_of_its_curves():
    reading = rt.read_history({"loss": [1.2, 0.7, 0.4, 0.2, 0.1, 0.05], "val_loss": [1.1, 0.8, 0.7, 0.8, 1.0, 1.2]})
    assert isinstance(reading, Findings)
    html = Read(reading._repr_html_()).text
    assert "6 epochs: loss 1.2 to 0.05, val loss 1.1 to 1.2" in html
    assert reading[0].why in html
    healthy = rt.read_history({"loss": [1 / n for n in range(1, 9)], "val_loss": [1.01 / n for n in range(1, 9)]})
    if not healthy:
        assert "Healthy" in Read(healthy._repr_html_()).text
