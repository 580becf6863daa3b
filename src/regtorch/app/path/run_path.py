"""Train a path: from its config to its files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from regtorch.app.config.check_settings import check_settings
from regtorch.app.config.command_line import own_configs
from regtorch.app.ground.atomic import write_text
from regtorch.app.ground.errors import Diverged, is_out_of_memory
from regtorch.app.ground.lines import tell
from regtorch.app.ground.signals import patient
from regtorch.app.nets import count
from regtorch.app.path.chunks import chunks_of, fitting
from regtorch.app.path.feed import Feed
from regtorch.app.path.members import Member
from regtorch.app.path.outcome import Outcome
from regtorch.app.path.path_files import record_of, write_csv
from regtorch.app.path.path_saves import PathSaves, Work
from regtorch.app.path.picture import PICTURE, draw
from regtorch.app.path.prepared import Prepared, prepared
from regtorch.app.path.printed import print_members
from regtorch.app.path.show import Show
from regtorch.app.path.stacked_rules import weights_of
from regtorch.app.path.train import Trainer, train_chunk
from regtorch.app.path.trial_step import Probe, probe
from regtorch.app.record.command import command
from regtorch.app.record.file_names import PATH, RECEIPT
from regtorch.app.record.provenance import provenance
from regtorch.app.record.run_record import RunRecord, versions
from regtorch.app.run.determinism import determinism
from regtorch.app.run.saves.saves import Saves
from regtorch.counted import counted
from regtorch.select.language import weights

__all__ = ["run_path"]


def run_path(cfg: DictConfig, folder: Path, choices: Mapping[str, str], overrides: Sequence[str]) -> RunRecord:
    """Train the path of a config and write its files into `folder`.

    Raises:
        RunError: a problem that the user can fix.
        Diverged: every member diverged; the files are written nevertheless.
        KeyboardInterrupt: interrupted; the epochs so far are written.
    """
    check_settings(cfg, choices)
    with determinism(cfg.trainer.get("deterministic")):
        return _run_path(cfg, folder, choices, overrides)


def _run_path(cfg: DictConfig, folder: Path, choices: Mapping[str, str], overrides: Sequence[str]) -> RunRecord:
    saves = Saves(cfg, folder)
    start = prepared(cfg, choices)
    origin = provenance(command("path", overrides), start.settings.device, start.data)
    feed = Feed(start.data, start.settings)
    seen = probe(start, feed)
    chunks = _chunks(start, seen)
    receipt = "\n\n".join(_receipt(start, seen, chunks, choices["data"]))
    write_text(folder / RECEIPT, receipt + "\n")
    tell(receipt)
    watched = watched_weights(start)
    outcomes = _train(start, feed, Work(chunks), saves, watched)

    score = start.task.score
    config: Any = OmegaConf.to_container(cfg, resolve=True)
    record = replace(
        record_of(outcomes, score, overrides),
        choices=dict(choices),
        config=config,
        parameters=dict(zip(("total", "trainable"), count(next(iter(start.origins.values())).net), strict=True)),
        watched=watched,
        epochs=feed.epochs,
        seconds=round(saves.seconds(), 3),
        device=str(start.settings.device),
        versions=versions(),
        provenance=origin,
        own_configs=own_configs(),
    )
    draw(outcomes, score, folder / PICTURE)
    record.write(folder)
    saves.remove()
    print_members(outcomes, score, None if record.path is None else record.path.best)
    tell(f"{record.seconds:.1f} s, written to {folder}: {PATH}, {PICTURE}, {RECEIPT}, summary.json")
    lost = [outcome.diverged.reason for outcome in outcomes if outcome.diverged is not None]
    if len(lost) == len(outcomes):
        raise Diverged(f"all {len(lost)} members diverged, the first: {lost[0]}; lower optimizer.lr or the strengths")
    return record


def watched_weights(start: Prepared) -> list[str]:
    """The parameters whose norms and zeros are reported: those that a rule acts on, or else all kernels."""
    net = next(iter(start.origins.values())).net
    for rules in (start.penalties, start.constraints):
        if rules[0] is not None:
            return list(weights_of(rules[0], net))
    names = {id(p): name for name, p in net.named_parameters()}
    kernels = [names[id(w)] for w in weights(net, "kernel").values() if id(w) in names]
    return kernels or [name for name, p in net.named_parameters() if p.requires_grad]


def _chunks(start: Prepared, seen: Probe) -> list[list[Member]]:
    settings = start.settings
    most = settings.chunk or fitting(seen.bytes_a_member, settings.device)
    return chunks_of(start.members, start.seeds, most, by_seed=seen.draws or start.data.seed is None)


def _receipt(start: Prepared, seen: Probe, chunks: Sequence[Sequence[Member]], data: str) -> list[str]:
    """The net, the members, the first member's rules, and the chunks."""
    net = next(iter(start.origins.values())).net
    total, trainable = count(net)
    axes = {axis: list(dict.fromkeys(m.values[axis] for m in start.members)) for axis in start.members[0].values}
    varied = ", ".join(f"{len(v)} × {axis}" for axis, v in axes.items())
    sizes = [len(chunk) for chunk in chunks]
    at_once = (
        f", {max(sizes)} side by side" if len(chunks) > 1 else ", all side by side" if len(start.members) > 1 else ""
    )
    lines = [
        f"{type(net).__name__}: {total:,} parameters, {trainable:,} trainable, "
        f"× {counted(len(start.members), 'member')} ({varied}), on data={data}",
        *(rule.on(net).receipt() for rule in (start.penalties[0], start.constraints[0]) if rule is not None),
        *start.remarks,
        f"{counted(len(start.members), 'member')}{at_once}, about {seen.bytes_a_member / 2**20:.3g} MiB each"
        + (f", in {len(chunks)} chunks" if len(chunks) > 1 else ""),
    ]
    if seen.slow:
        lines.append(f"slow operations, which run member by member: {', '.join(seen.slow)}")
    return lines


def _train(start: Prepared, feed: Feed, work: Work, saves: Saves, watched: Sequence[str]) -> list[Outcome]:
    """Train chunk by chunk; a chunk that does not fit into memory is halved."""
    path_saves = PathSaves(saves, work)
    if saves.resumed is not None:
        path_saves.restore(start, feed)

    def on_step() -> None:
        show.step()
        if work.trainer is not None and work.trainer.is_within_epoch():
            path_saves.at_rest()

    def on_epoch(number: int, outcomes: Sequence[Outcome]) -> None:
        show.epoch(number, work.outcomes)
        if number < feed.epochs:
            path_saves.at_rest()

    with Show(start, feed, len(work.waiting)) as show, saves.training("path"), patient():
        try:
            while work.waiting or work.trainer is not None:
                show.start()
                try:
                    if work.trainer is None:
                        work.chunk = work.waiting.popleft()
                        work.trainer = Trainer(start, work.chunk, feed)
                    train_chunk(work.trainer, watched, on_step=on_step, on_epoch=on_epoch)
                    work.done += work.trainer.outcomes
                    work.steps += work.trainer.steps
                except Exception as error:
                    if not is_out_of_memory(error) or len(work.chunk) == 1:
                        raise
                    half = len(work.chunk) // 2
                    work.waiting.extendleft([work.chunk[half:], work.chunk[:half]])
                    show.halved(len(work.chunk))
                work.trainer = None  # free the memory for the next chunk
        finally:
            write_csv(saves.folder, work.outcomes)
    return work.outcomes
