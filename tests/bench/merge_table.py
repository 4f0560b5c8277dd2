# SPDX-License-Identifier: GPL-2.0-or-later
"""The figures of tests/bench/merge and the verdicts on them; pure, but for printing."""
import statistics

from guests import MIB, PAGE

GIB = 1 << 30
ENOUGH = 0.95  # of the ceiling
WATCHING_SECONDS = 10
RUN_SECONDS = 600  # of each tuner, which the goals are for


def seconds_to_enough(run, phase):
    """From the phase's event until 95 % is saved of what stands still, is not zero and can be saved; between two samples by a straight line.

    None: not within the phase.
    """
    goal = ENOUGH * phase.still_pages
    before = None
    for sample in run.samples:
        if not phase.begin <= sample.seconds < phase.end:
            continue
        if sample.still_pages >= goal:
            if before is None:
                return max(0.0, sample.seconds - phase.begin)
            part = (goal - before.still_pages) / (sample.still_pages - before.still_pages)
            return before.seconds + part * (sample.seconds - before.seconds) - phase.begin
        before = sample
    return None


def saved_gib_seconds(run):
    """All of it, zeros and churning pages too."""
    total = 0.0
    for a, b in zip(run.samples, run.samples[1:]):
        total += (b.seconds - a.seconds) * (_saved_pages(a) + _saved_pages(b)) / 2 * PAGE
    return total / GIB


def _saved_pages(sample):
    return sample.still_pages + sample.churn_pages + sample.zero_pages


def _ceiling_bytes(phase):
    return (phase.still_pages + phase.churn_pages + phase.zero_pages) * PAGE


def ceiling_gib_seconds(run):
    """What could have been saved over the phases."""
    return sum((p.end - p.begin) * _ceiling_bytes(p) for p in run.phases) / GIB


def mean_guest_bytes(run):
    return sum((p.end - p.begin) * p.present_bytes for p in run.phases) / sum(p.end - p.begin for p in run.phases)


def watching_share(run):
    """Share of a core that the tuner itself takes while ksmd stands still: the median of stretches of ten seconds, so that the few with a
    scan do not count. None if ksmd never stands still for so long."""
    shares, seconds, own = [], 0, 0
    for a, b in zip(run.samples, run.samples[1:]):
        if b.ksmd_seconds != a.ksmd_seconds:
            continue
        seconds += b.seconds - a.seconds
        own += b.own_seconds - a.own_seconds
        if seconds >= WATCHING_SECONDS:
            shares.append(own / seconds)
            seconds, own = 0, 0
    return statistics.median(shares) if shares else None


def figures(run):
    """Plain numbers of one run, for --json and for the table."""
    start, arrival, last = run.phases
    return {
        "tuner": run.name,
        "title": run.tuner.title,
        "seconds": run.seconds,
        "to_enough_at_start_seconds": seconds_to_enough(run, start),
        "to_enough_after_arrival_seconds": seconds_to_enough(run, arrival),
        "saved_gib_seconds": saved_gib_seconds(run),
        "of_ceiling": saved_gib_seconds(run) / ceiling_gib_seconds(run),
        "saved_at_end_bytes": sum(run.saved_at_end) * PAGE,
        "zero_saved_at_end_bytes": run.saved_at_end[-1] * PAGE,
        "ceiling_at_end_bytes": _ceiling_bytes(last),
        "zero_ceiling_at_end_bytes": last.zero_pages * PAGE,
        "ksmd_cpu_seconds": run.ksmd_seconds,
        "own_cpu_seconds": run.own_seconds,
        "watching_share": watching_share(run),
        "huge_pages_split": run.split_pages,
        "huge_bytes_lost": run.huge_lost_bytes,
        "guest_bytes": mean_guest_bytes(run),
        "predicted_bytes": run.predicted_bytes,
        "reached_bytes": run.reached_bytes,
        "reached_by_counters_bytes": run.counted_pages * PAGE,
        "boot_seconds": run.boot_seconds,
        "churned_pages_per_second": run.churned_per_sec,
        "sampler_cpu_seconds": run.sampler_seconds,
        "others_cpu_share": run.others_share,
        "notes": run.notes,
    }


# ---- goals -----------------------------------------------------------------------------------------------------------------------


def _verdict(value, goal):
    return "ok" if value is not None and value <= goal else "short"


def _goal(what, goal, value, unit="", detail="", judged=True):
    return {"what": what, "goal": goal, "measured": value, "unit": unit, "verdict": _verdict(value, goal) if judged else "",
            "detail": detail}


def _ratio(a, b):
    return None if a is None or not b else a / b


def goals(runs, churning):
    """The verdicts on samepage, from figures() of each tuner by name. Empty without it; a goal whose other side was not run is left out."""
    own = runs.get("samepage")
    if own is None:
        return []
    found = []
    full = runs.get("full")
    if full:
        found.append(_goal("time to 95 % of the ceiling after a guest arrives / full speed's", 1.5,
                           _ratio(own["to_enough_after_arrival_seconds"], full["to_enough_after_arrival_seconds"])))
        found.append(_goal("ksmd CPU over the run / full speed's", 0.15, _ratio(own["ksmd_cpu_seconds"], full["ksmd_cpu_seconds"]),
                           detail="" if own["seconds"] >= RUN_SECONDS else f"the goal is for {RUN_SECONDS} s, this is {own['seconds']:.0f}"))
    others = [r for name, r in runs.items() if name not in ("samepage", "full") and r["saved_gib_seconds"] > 0]
    if others:
        best = max(others, key=lambda r: r["saved_gib_seconds"])
        found.append(_goal("ksmd CPU over the run / best other tuner's", 0.5, _ratio(own["ksmd_cpu_seconds"], best["ksmd_cpu_seconds"]),
                           detail=f"it is {best['title']}"))
        found.append(_goal("    its saving over the run / samepage's", 1.0,
                           _ratio(best["saved_gib_seconds"], own["saved_gib_seconds"])))
    within = 15 if churning else 5
    predicted, reached = own["predicted_bytes"], own["reached_bytes"]
    off = None if predicted is None or not reached else abs(predicted - reached) / reached * 100
    found.append(_goal(f"predicted and reached saving differ by, {'with' if churning else 'without'} churn", within, off, " %",
                       "" if off is not None else "no prediction to be had", judged=off is not None))
    size = f"with {own['guest_bytes'] / GIB:.2f} GiB of guests"
    if own["watching_share"] is not None:
        found.append(_goal("own CPU while ksmd stands still, of a core", 1.0, own["watching_share"] * 100, " %", size))
    found.append(_goal("    own CPU over the run, all of it, of a core", 1.0, own["own_cpu_seconds"] / own["seconds"] * 100, " %",
                       f"{size}; scans at the start, when a guest comes or goes, and when KSM has ended", judged=False))
    return found


# ---- text ------------------------------------------------------------------------------------------------------------------------

COLUMNS = f"{'':<34} {'95 % from':>9} {'95 % after':>10} {'saved':>8} {'of what':>8} {'ksmd':>8} {'own':>7} {'huge pages':>10} {'at the end':>15}\n" \
          f"{'':<34} {'start':>9} {'arrival':>10} {'GiB*s':>8} {'can be':>8} {'CPU s':>8} {'CPU s':>7} {'split':>10} {'MiB saved of':>15}"


def _seconds(value):
    return "never" if value is None else f"{value:.2f} s"


def print_run(f):
    end = f"{f['saved_at_end_bytes'] / MIB:.0f} / {f['ceiling_at_end_bytes'] / MIB:.0f}"
    print(f"{f['title']:<34} {_seconds(f['to_enough_at_start_seconds']):>9} {_seconds(f['to_enough_after_arrival_seconds']):>10} "
          f"{f['saved_gib_seconds']:>8.2f} {f['of_ceiling']:>8.1%} {f['ksmd_cpu_seconds']:>8.3f} {f['own_cpu_seconds']:>7.2f} "
          f"{f['huge_pages_split']:>10} {end:>15}", flush=True)
    zeros = f"of zeros {f['zero_saved_at_end_bytes'] / MIB:.0f} of {f['zero_ceiling_at_end_bytes'] / MIB:.0f} MiB saved at the end"
    noise = f"the guest that arrived took {f['boot_seconds']:.2f} s to boot; others took {f['others_cpu_share']:.0%} of a CPU, the samples {f['sampler_cpu_seconds'] / f['seconds']:.1%}; " \
            f"{f['churned_pages_per_second']:.0f} pages/s rewritten per guest; before the arrival {f['reached_bytes'] / MIB:.1f} MiB saved, " \
            f"{f['reached_by_counters_bytes'] / MIB:.1f} by KSM's counters"
    for note in [zeros, noise, *f["notes"]]:
        print(f"    {note}", flush=True)


def print_unavailable(title, reason):
    print(f"{title:<34} skipped: {reason}", flush=True)


def print_goals(found):
    print(f"\n{'':<76} {'goal':>8} {'measured':>10}")
    for g in found:
        value = "none" if g["measured"] is None else f"{g['measured']:.3g}{g['unit']}"
        print(f"{g['what']:<76} {'<= ' + format(g['goal'], 'g') + g['unit']:>8} {value:>10}  {g['verdict']:<5} {g['detail']}".rstrip())
