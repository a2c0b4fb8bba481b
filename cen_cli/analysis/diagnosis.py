"""Whether the sparsity penalty chose channels, in words: a verdict, the numbers behind it, and what to try instead."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from cen_cli.analysis.layers import LayerState, Mask
from cen_cli.analysis.sweeps import Written
from cen_cli.results import COLLAPSED, GammaDiagnosis, LoggedHealth, ThresholdRow, is_better, unread_streams
from cen_cli.wording import listed

FEW = 0.01
"""Share of every modality's pressed gammas below the threshold below which next to nothing is exchanged."""

DEAD = 0.5
"""Share of the replaced channels without a donor above the threshold from which on exchange mostly moves nothing."""

OVERLAPPING = 0.5
"""Share of the replaced channels that another modality gave up too from which on modalities do not complement."""

CLOSED = 0.01
"""What a gate mixes in at most that counts as closed, or at least, but for this, as open."""

NOTABLE = 0.01
"""Relative gain of a score from which on another threshold is proposed."""

_NEEDS_EXCHANGE = 'nothing is replaced; exchange needs model.fusion = "exchange" and two or more data.inputs'
_LET_IT_LIVE = (
    "let the network behind these layers live, then analyse the gammas again: schedule.warmup_steps, a lower "
    'optimizer.decoder_lr, or model.decoder_norm = "batch"'
)
_SWITCHED_OFF = (
    'nothing is replaced; with model.fusion = "exchange" and exchange.choose = "gamma" the gammas choose what is'
)
_SHARED_GAMMA = 'nothing is replaced: modalities that share their gammas (sharing.norm = "shared") leave none to go by'


def diagnose(states: Sequence[LayerState], modalities: Sequence[str], sparsity: float) -> GammaDiagnosis:
    """Say in words whether the sparsity penalty chose channels, pressed all of them through, or did nothing.

    `sparsity` is the lambda that the network was trained with.
    """
    if not states or len(modalities) < 2:
        streams = "1 modality" if len(modalities) == 1 else f"{len(modalities)} modalities"
        evidence: tuple[str, ...] = (f"{streams}, {len(states)} layers with gammas",)
        return GammaDiagnosis("no exchange", evidence, _NEEDS_EXCHANGE)
    shares = _shares(states)
    evidence = tuple(
        f"{modality}: {100 * share:.1f}% of {total} gammas of its part are below the threshold"
        for modality, share, total in zip(modalities, shares, _pressed(states).tolist(), strict=True)
    )
    if not any(state.replaceable.any() for state in states):
        advice = _SHARED_GAMMA if any(state.shared_gamma for state in states) else _SWITCHED_OFF
        return GammaDiagnosis("no exchange", ("exchange is switched off in this network", *evidence), advice)
    if any(state.fixed is not None for state in states):
        return _fixed(states, evidence)
    replaced, dead, several = _given_up(states)
    remarks = (*evidence, *_full_layers(states, modalities), *_without_donor(replaced, dead, several))
    if (shares > COLLAPSED).any():
        return _collapsed(
            [name for name, share in zip(modalities, shares, strict=True) if share > COLLAPSED], remarks, sparsity
        )
    allowed = sum(int(state.replaceable.sum()) for state in states)
    if (shares < FEW).all() and replaced < FEW * allowed:  # which may be replaced beyond what is pressed
        return _no_effect(states, evidence)
    if dead > DEAD * replaced:
        return _not_complementary("dead", states, remarks, "most donors are as dead as the channels that they replace")
    if several > OVERLAPPING * replaced:
        return _not_complementary("overlapping", states, remarks, "modalities give up the same channels")
    return GammaDiagnosis("healthy", remarks, "nothing needs changing")


def with_thresholds(
    diagnosis: GammaDiagnosis,
    rows: Sequence[ThresholdRow],
    own: float,
    metric: str,
    written: Written,
) -> GammaDiagnosis:
    """The diagnosis with what other thresholds score: as evidence, and as a setting to try where one is better by 1%.

    `own` is the network's threshold, one of the rows; `written`: a score as people read it.
    """
    values = {row.threshold: row.evaluation.metric(metric) for row in rows}
    if math.isnan(values[own]):  # nothing on the split is valid
        return diagnosis
    best = own
    for threshold, value in values.items():
        if is_better(metric, value, values[best]):
            best = threshold
    said = f"at its threshold {own:g} {metric} is {written(metric, values[own])}"
    if abs(values[best] - values[own]) <= NOTABLE * abs(values[own]):
        said += ", and no other threshold that was tried makes it better by 1%"
        return dataclasses.replace(diagnosis, evidence=(*diagnosis.evidence, said))
    said += f"; at {best:g} it would be {written(metric, values[best])}"
    evidence = (*diagnosis.evidence, said)
    if best == 0:
        advice = 'the network is better where nothing is exchanged: compare it with one of exchange.choose = "none"'
        advice += "" if diagnosis.verdict == "healthy" else f"; or {diagnosis.advice}"
        return dataclasses.replace(diagnosis, evidence=evidence, advice=advice)
    advice = f"exchange.threshold = {best:g} scores better without training"
    advice += "" if diagnosis.verdict == "healthy" else f"; or {diagnosis.advice}"
    return dataclasses.replace(diagnosis, evidence=evidence, settings={"exchange.threshold": best}, advice=advice)


def with_health(diagnosis: GammaDiagnosis, states: Sequence[LayerState], log: Sequence[LoggedHealth]) -> GammaDiagnosis:
    """The diagnosis, corrected where no gradient of the task reached layers that exchange.

    `log`: what the run saw of its network's health; without it nothing is known, and nothing is changed.
    """
    unread = {name: np.array(streams) for name, streams in unread_streams(log).items() if any(streams)}
    layers = [state for state in states if state.name in unread]
    fallen = sum(int((state.below & state.pressed)[unread[state.name]].sum()) for state in layers)
    if not layers or diagnosis.verdict in ("no exchange", "fixed"):
        return diagnosis
    said = (
        f"no gradient of the task reached {listed(state.name for state in layers)} in most of the {len(log)} steps that"
        " were recorded, so that whatever falls there is no choice"
    )
    if fallen:
        said += f": {fallen} gammas are below the threshold because nothing held them"
    return GammaDiagnosis("unread", (said, *diagnosis.evidence), _LET_IT_LIVE)


# --- verdicts -----------------------------------------------------------------------------------------------------


def _fixed(states: Sequence[LayerState], evidence: tuple[str, ...]) -> GammaDiagnosis:
    allowed = sum(int(state.replaceable.sum()) for state in states)
    said = f"{_given_up(states)[0]} of {allowed} channels that may be replaced are replaced; no threshold decides which"
    gates = [state.mixing[state.replaceable] for state in states if state.mixing is not None]
    if any(((each > CLOSED) & (each < 1 - CLOSED)).any() for each in gates):
        mixed = np.concatenate(gates).mean()
        said = f"gates mix {100 * mixed:.1f}% of the others into the channels that may be replaced, mean"
    return GammaDiagnosis("fixed", (said, *evidence), "nothing needs changing")


def _collapsed(full: Sequence[str], evidence: tuple[str, ...], sparsity: float) -> GammaDiagnosis:
    lower = "lower exchange.sparsity, to a half or a third of what it is"
    if sparsity == 0:
        lower = "no penalty pressed them: a lower exchange.threshold, or a higher exchange.gamma_init"
    advice = f"{lower}: nearly every pressed channel of {' and '.join(full)} is given up, so nothing is chosen"
    settings = {"exchange.sparsity": float(f"{sparsity / 2:.2g}")} if sparsity > 0 else {}
    return GammaDiagnosis("collapsed", evidence, advice, settings)


def _no_effect(states: Sequence[LayerState], evidence: tuple[str, ...]) -> GammaDiagnosis:
    below = sum(int((state.below & state.pressed).sum()) for state in states)
    smallest, threshold = min((float(state.gammas[state.pressed].min()), state.threshold) for state in states)
    distance = f"the smallest of them is {smallest:.3g}; the threshold is {threshold:.3g}"
    if below:
        distance = f"{below} of {int(_pressed(states).sum())} gammas are below it: next to nothing is exchanged"
    advice = (
        "exchange.budget = 0.3 replaces a share of every layer whatever the gammas are; by the threshold, train longer "
        "or lower exchange.gamma_init (with Adam a gamma moves by its rate a step, whatever lambda is)"
    )
    anywhere = any((state.replaceable & ~state.pressed).any() for state in states)  # which no budget may be
    replace = {"exchange.replace": "own-part"} if anywhere else {}
    return GammaDiagnosis("no effect", (*evidence, distance), advice, {"exchange.budget": 0.3, **replace})


def _not_complementary(
    verdict: str, states: Sequence[LayerState], evidence: tuple[str, ...], why: str
) -> GammaDiagnosis:
    if any((state.pressed.sum(axis=0) > 1).any() for state in states):
        what = 'press each modality in its own part (exchange.region = "disjoint"), or lower exchange.sparsity'
    else:
        what = (
            "the penalty presses no donor, so the task, optimizer.gamma_weight_decay or the weights that the network "
            "started from made them small; or lower exchange.sparsity"
        )
    return GammaDiagnosis(verdict, evidence, f"{why}: {what}")


# --- evidence -----------------------------------------------------------------------------------------------------


def _pressed(states: Sequence[LayerState]) -> npt.NDArray[np.int64]:
    """Pressed gammas per modality, [M]."""
    return np.sum([state.pressed.sum(axis=1) for state in states], axis=0)


def _shares(states: Sequence[LayerState]) -> npt.NDArray[np.float64]:
    """Share of the pressed gammas that are below the threshold, per modality over all layers: [M]."""
    below = np.sum([(state.below & state.pressed).sum(axis=1) for state in states], axis=0)
    return below / np.maximum(_pressed(states), 1)


def _given_up(states: Sequence[LayerState]) -> list[int]:
    """Replaced channels; those of them without a donor above the threshold; those below it in another modality too."""
    masks = [(state.replaced, state.dead, state.replaced & _small_donor(state)) for state in states]
    return [sum(int(mask.sum()) for mask in kind) for kind in zip(*masks, strict=True)]


def _small_donor(state: LayerState) -> Mask:
    """Where some donor is below the threshold, [M, C]; of groups of donors there is but one."""
    if state.donor is not None:
        return np.take_along_axis(state.below, state.donor, axis=0)
    return state.below.sum(axis=0) > state.below


def _full_layers(states: Sequence[LayerState], modalities: Sequence[str]) -> tuple[str, ...]:
    """Says in how many layers a modality gives up nearly all that it may: there no channel is chosen over another."""
    inside = np.array([(state.below & state.pressed).sum(axis=1) for state in states])
    pressed = np.array([state.pressed.sum(axis=1) for state in states])
    full = (inside > COLLAPSED * np.maximum(pressed, 1)).sum(axis=0).tolist()
    if len(states) == 1 or not any(full):
        return ()
    counts = " and ".join(f"{modality} in {count}" for modality, count in zip(modalities, full, strict=True) if count)
    return (
        f"nearly all of a layer's part (over {100 * COLLAPSED:.0f}%) is given up by {counts} of {len(states)} layers",
    )


def _without_donor(total: int, dead: int, several: int) -> tuple[str, ...]:
    """How many of `_given_up` have a donor that is below the threshold too, if any have."""
    said = []
    if dead:
        said.append(f"{dead} of {total} replaced channels have no donor above the threshold: nothing takes their place")
    if several > dead:
        said.append(f"{several} of {total} replaced channels are below the threshold in another modality as well")
    return tuple(said)
