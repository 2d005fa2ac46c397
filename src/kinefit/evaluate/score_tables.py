"""Scores as tables: for the terminal, and as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

Scores = Mapping[str, Any]


class ScoreTable(NamedTuple):
    """A title, column names, and rows of cells; the first cell names its row."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def markdown(title: str, tables: Iterable[ScoreTable], notes: Sequence[str] = ()) -> str:
    """A Markdown page of tables, numbers aligned right."""
    parts = [f"# {title}"]
    for table in tables:
        ruler = ["---", *["---:"] * (len(table.columns) - 1)]
        lines = [_line(table.columns), _line(ruler), *map(_line, table.rows)]
        parts.append(f"## {table.title}\n" + "\n".join(lines))
    if notes:
        parts.append("\n".join(f"- {note}" for note in notes))
    return "\n\n".join(parts) + "\n"


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def synth_tables(scores: Scores) -> list[ScoreTable]:
    """Tables of the scores of `kinefit.evaluate.run_scores.score_run` that there are."""
    cameras = scores["cameras"]
    detected = {k: v["detected"] for k, v in cameras.items() if "detected" in v}
    pof = {k: v["pof"] for k, v in cameras.items() if "pof" in v}
    space = {k: scores[k] for k in ("triangulated", "initial", "final") if k in scores}
    if "body" in scores:
        space["body"] = scores["body"]["joints"]
    tables = []
    if detected:
        tables += [_detected(detected), _visibility(detected)]
    if pof:
        tables.append(_directions(pof))
    if space:
        tables.append(_alignments("3D points, MPJPE, mm", space))
        tables += [_sets(space), _motion(space), *_by_point(space)]
    if "angles" in scores:
        tables.append(_angles(scores["angles"]))
    if "body" in scores:
        tables.append(_body(scores["body"]))
    masks = {k: v["mask_iou"] for k, v in cameras.items() if "mask_iou" in v}
    if masks:
        rows = [(k, _n(v["mean"], 3), _n(v["median"], 3)) for k, v in masks.items()]
        heads = ("camera", "mean", "median")
        tables.append(ScoreTable("The detector's masks, IoU", heads, tuple(rows)))
    return tables + _coverages(scores)


def skipped_notes(scores: Scores) -> list[str]:
    """A sentence for each part that was not scored, with the reason."""
    return [f"Not scored: {part} ({why.rstrip('.')})." for part, why in scores["skipped"].items()]


def pof_tables(scores: Scores) -> list[ScoreTable]:
    """Directions by set of limbs, and by limb; and what else a lifter says.

    scores: name -> result of `score_own_3d` or `score_answers`.
    """
    sets = {
        f"{name}, {part.replace('_', ' ')}": {"all": one[part], "mpjpe_mm": one.get("mpjpe_mm")}
        for name, one in scores.items()
        for part in ("all", "unswapped", "arms_and_legs", "trunk", "feet")
        if part in one
    }
    limbs = list(next(iter(scores.values()))["all"]["limbs"]) if scores else []
    rows = tuple(
        (limb, *(_n(one["unswapped"]["limbs"][limb], 1) for one in scores.values()))
        for limb in limbs
    )
    title = "Mean angle by limb, degrees, without swapped images"
    lifted = {name: one for name, one in scores.items() if "lifter" in one}
    tables = [_directions(sets), ScoreTable(title, ("limb", *scores), rows)]
    return tables + ([_depths(lifted), _answers(lifted)] if lifted else [])


def pof_notes(scores: Scores) -> list[str]:
    """Shares of images with a detection, and with left and right swapped; and the lifter."""
    notes = []
    for name, one in scores.items():
        found = f"a person detected in {_pct(one['found'])} %, " if "found" in one else ""
        swapped = f"left and right swapped in {_pct(one['swapped'])} %"
        notes.append(f"{name}: {one['frames']} images, {found}{swapped}.")
    lifters = {one["lifter"] for one in scores.values() if "lifter" in one}
    right = "after left and right were put right as in a run"
    return notes + [f"Directions of the network {name}, {right}." for name in sorted(lifters)]


def pose_tables(scores: Scores) -> list[ScoreTable]:
    """Tables of the scores of `kinefit.evaluate.point_files.compare_points`."""
    found, how = scores["aligned"], f"aligned by {scores['aligned']['by']}"
    acceleration = _summary(found["acceleration_m_s2"], 2)
    rows = tuple((name, _n(value, 1)) for name, value in found["by_point_mm"].items())
    return [
        _alignments("MPJPE, mm", {"points": scores}),
        ScoreTable(f"Acceleration error, m/s², {how}", ("", *_SUMMARY), (("all", *acceleration),)),
        ScoreTable(f"By point, mm, {how}", ("point", "mean"), rows),
    ]


_SUMMARY = ("mean", "median", "p90", "p95", "max")


def _summary(values: Scores, decimals: int) -> list[str]:
    return [_n(values[key], decimals) for key in _SUMMARY]


def _n(value: float | None, decimals: int = 1) -> str:
    return "-" if value is None else f"{value:.{decimals}f}"


def _pct(share: float | None) -> str:
    return _n(None if share is None else 100 * share)


_Column = tuple[str, str, str]  # head; where the value is; decimals, or "%" for a share


def _columns(
    title: str, first: str, columns: Sequence[_Column], rows: Iterable[tuple[str, Scores]]
) -> ScoreTable:
    """A table of numbers that stand in the same place of every row's scores."""

    def cell(value: Any, where: str, form: str) -> str:
        for key in where.split("/"):
            value = value.get(key) if isinstance(value, Mapping) else None
        return _pct(value) if form == "%" else _n(value, int(form))

    heads = (first, *(head for head, _, _ in columns))
    cells = ((name, *(cell(one, *what) for _, *what in columns)) for name, one in rows)
    return ScoreTable(title, heads, tuple(cells))


def _detected(cameras: Scores) -> ScoreTable:
    columns = (
        ("px mean", "error_px/mean", "2"), ("median", "error_px/median", "2"),
        ("p95", "error_px/p95", "2"), ("% of size", "error_pct/mean", "2"),
        ("PCK 0.05 %", "pck/0.05", "%"),
        ("arms swapped %", "swapped/arms", "%"), ("legs swapped %", "swapped/legs", "%"),
        ("no person %", "dropped/frames", "%"), ("visible, lost %", "dropped/seen_points", "%"),
    )  # fmt: skip
    return _columns("Detected points", "camera", columns, cameras.items())


def _visibility(cameras: Scores) -> ScoreTable:
    kinds = ("visible", "self_occluded", "occluded")
    columns = ("camera", *(f"{kind.replace('_', '-')}, px (count)" for kind in kinds))
    px = {name: [one["by_visibility"][k]["px"] for k in kinds] for name, one in cameras.items()}
    rows = tuple(
        (name, *(f"{_n(one['mean'], 2)} ({one['count']})" for one in each))
        for name, each in px.items()
    )
    return ScoreTable("Detected points by visibility", columns, rows)


def _directions(sets: Scores) -> ScoreTable:
    """As in tables of published lifters; z-sign*: where |z| > 0.2. Positions where known."""
    columns: tuple[_Column, ...] = (
        ("mean °", "all/angle/mean", "1"), ("median", "all/angle/median", "1"),
        ("p90", "all/angle/p90", "1"), ("% > 30°", "all/far_off", "%"),
        ("z-sign", "all/sign", "3"), ("z-sign*", "all/sign_deep", "3"),
        ("ray mean °", "all/ray/mean", "1"), ("rot/frame mean °", "all/rotated/mean", "1"),
        ("flat °", "all/flat", "1"),
    )  # fmt: skip
    if any(one.get("mpjpe_mm") for one in sets.values()):
        places = (("PA-MPJPE mm", "pa"), ("hip-rel. MPJPE mm", "root"))
        columns += tuple((head, f"mpjpe_mm/{kind}/mean", "0") for head, kind in places)
    return _columns("Directions of 14 limbs, camera axes", "set", columns, sets.items())


def _depths(lifted: Scores) -> ScoreTable:
    """z-sign*: where |z| > 0.2."""
    columns = (
        ("z-sign by probability", "z_sign/away", "3"), ("z-sign*", "z_sign/away_deep", "3"),
        ("by direction", "z_sign/own", "3"), ("z-sign*", "z_sign/own_deep", "3"),
        ("within 68 %", "coverage/all/68%/share", "%"),
        ("within 95 %", "coverage/all/95%/share", "%"),
        ("not swapped, within 95 %", "coverage/unswapped/95%/share", "%"),
        ("feet, within 95 %", "coverage/feet/95%/share", "%"),
    )  # fmt: skip
    return _columns("Depth along the ray, and the stated spread", "", columns, lifted.items())


def _answers(lifted: Scores) -> ScoreTable:
    columns = (
        ("contact recall %", "contact/recall", "%"), ("false %", "contact/false_rate", "%"),
        ("gravity median °", "gravity_deg/median", "1"), ("p90", "gravity_deg/p90", "1"),
        ("points, median % of size", "shift_pct/before", "2"), ("shifted", "shift_pct/after", "2"),
        ("swap recall %", "swap/recall", "%"), ("false %", "swap/false_rate", "%"),
        ("AUC", "swap/auc", "3"),
    )  # fmt: skip
    return _columns("What else the network says", "", columns, lifted.items())


_KINDS = {
    "absolute": "absolute", "root": "root-relative", "rigid": "rigid, clip",
    "similarity": "similarity, clip", "w": "W", "wa": "WA", "pa": "PA",
}  # fmt: skip
_SHOWN = ("absolute", "root", "rigid", "pa")


def _alignments(title: str, space: Scores) -> ScoreTable:
    rows = [
        (f"{name}: {label}" if len(space) > 1 else label, *_summary(one["mpjpe_mm"][kind], 1))
        for name, one in space.items()
        for kind, label in _KINDS.items()
        if kind in one["mpjpe_mm"]
    ]
    return ScoreTable(title, ("alignment", *_SUMMARY), tuple(rows))


def _sets(space: Scores) -> ScoreTable:
    rows = {f"{n}: {points}": errors for n, one in space.items()
            for points, errors in one["by_set_mm"].items()}  # fmt: skip
    columns = [(_KINDS[kind], kind, "1") for kind in _SHOWN]
    return _columns("By set of points, mm", "", columns, rows.items())


def _motion(space: Scores) -> ScoreTable:
    columns = (
        *("", "acceleration error m/s²", "jitter m/s³ (truth)", "feet slide m/s (truth)"),
        *("bones vary % (truth)", "path of the root, error % of its length"),
    )
    rows = []
    for name, one in space.items():
        jitter, feet, bones = one["jitter_m_s3"], one["foot_sliding"], one["bones"]["variation_pct"]
        rows.append(
            (
                name,
                _n(one["acceleration_m_s2"]["mean"], 2),
                f"{_n(jitter['result'], 0)} ({_n(jitter['truth'], 0)})",
                f"{_n(feet['result']['slide_m_s'], 3)} ({_n(feet['truth']['slide_m_s'], 3)})",
                f"{_n(bones['result'], 2)} ({_n(bones['truth'], 2)})",
                _n((one["root_translation_pct"] or {}).get("mean"), 2),
            )
        )
    return ScoreTable("Motion", columns, tuple(rows))


def _by_point(space: Scores) -> list[ScoreTable]:
    """Of the last stage."""
    name, one = list(space.items())[-1]
    columns = [(_KINDS[kind], kind, "1") for kind in _SHOWN if kind in one["mpjpe_mm"]]
    return [_columns(f"By point, mm ({name})", "point", columns, one["by_point_mm"].items())]


def _angles(angles: Scores) -> ScoreTable:
    keys = ("mae", "rmse", "bias", "sd", "mae_centred", "rom_error", "icc", "r")
    labels = ("MAE", "RMSE", "bias", "SD", "MAE without offset", "ROM error", "ICC(2,1)", "r")
    columns = [(label, key, "2") for label, key in zip(labels, keys, strict=True)]
    rows = (*angles["dofs"].items(), ("mean of absolute values", angles["overall"]))
    return _columns("Joint angles, degrees", "angle", columns, rows)


def _body(body: Scores) -> ScoreTable:
    rows = [("stature error, mm", _n(body["stature_error_mm"]))]
    for kind, values in (body["vertices_mm"] or {}).items():
        rows.append((f"vertices, {kind}, mm (PVE)", _n(values["mean"])))
    for camera, one in body["views"].items():
        rows.append((f"reprojection in {camera}, px", _n(one["reprojection"]["px"]["mean"], 2)))
        ours, bare = (_n(one[key]["mean"], 3) for key in ("mask_iou", "bare_mask_iou"))
        rows.append((f"mask IoU in {camera} (the true body, without clothes)", f"{ours} ({bare})"))
    return ScoreTable("Fitted body", ("", "mean"), tuple(rows))


def _coverages(scores: Scores) -> list[ScoreTable]:
    """Shares of errors within the intervals that should hold 68 and 95 % of them."""
    rows = {f"{part}, {kind}": one for part in ("triangulated", "initial", "final", "angles")
            for kind, one in scores.get(part, {}).get("coverage", {}).items()}  # fmt: skip
    columns = (("within 68 %", "68%/share", "%"), ("within 95 %", "95%/share", "%"),
               ("AUSE (0: ranks errors)", "ause", "2"))  # fmt: skip
    table = _columns("Coverage, %", "stated uncertainty of", columns, rows.items())
    return [table] if rows else []
