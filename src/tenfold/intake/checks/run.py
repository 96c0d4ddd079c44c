"""The checks stage: what a person should know of the data before any training, per image and in all.

data/checks/findings.parquet holds a row per image and check (rows set aside by intake have no image_id: there it is
`quarantine:` and their path); data/checks/summary.json is `IntakeFacts` as JSON.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tenfold.core.device import limited_threads
from tenfold.core.executor import Executor
from tenfold.core.files import write_atomic, write_json_atomic
from tenfold.core.progress import Progress
from tenfold.core.run_record import Result, begin_stage
from tenfold.core.seeds import derive_seed
from tenfold.core.workspace import Workspace
from tenfold.data.findings import findings_table
from tenfold.intake.checks.classes import class_rows, class_sizes, grouping, montage
from tenfold.intake.checks.confounds import Confounds, confounds
from tenfold.intake.checks.crossing import split_crossing, upstream_crossing
from tenfold.intake.checks.duplicates import Copies, duplicate_outcome, find_copies, shown_clusters, two_label_outcome
from tenfold.intake.checks.label_errors import label_errors
from tenfold.intake.checks.material import FILE_FACTS, Material, input_paths, read_material, refuse_lost_images
from tenfold.intake.checks.measures import measure_images
from tenfold.intake.checks.outcome import Outcome
from tenfold.intake.checks.outliers import outliers
from tenfold.intake.checks.plain_faults import blank_images, huge_images, lost_rows, quarantine_reasons, tiny_images
from tenfold.intake.checks.power import power_outcome, power_rows, subgroup_outcome, subgroup_rows
from tenfold.intake.checks.skin_tones import skin_tone_facts
from tenfold.intake.checks.verdict import answer
from tenfold.intake.config import NOT_STATED, CheckConfig
from tenfold.intake.contents import IntakeFacts, PowerRow, SubgroupRow, SuspectImage

STAGE = "checks"
FOLDER = "data/checks"
FINDINGS = "data/checks/findings.parquet"
SUMMARY = "data/checks/summary.json"
SUSPECTS_SHOWN = 24
"""Images that summary.json holds of each check, the worst first; findings.parquet holds all."""


def run_checks(config: CheckConfig, workspace: Workspace, executor: Executor, progress: Progress) -> Result:
    """Write data/checks/findings.parquet and summary.json; features are kept in data/features for the next time.

    The sealed split is checked where there is one, else the one that the split stage would make by default. A check
    that cannot run says why and stops no other. DataError when the manifest, its images or the split are missing or
    damaged.
    """
    seed = derive_seed(workspace.root_seed, STAGE)
    stage = begin_stage(workspace, STAGE, FOLDER, config, input_paths(workspace), seed=seed)
    refuse_lost_images(workspace)
    if stage.is_finished:
        return stage.result()
    material = read_material(workspace)
    measures = measure_images(material.manifest, workspace, executor, progress)
    # One thread, whatever the machine: sums in another order could move an image across a threshold.
    with progress.task("Checking images", 5) as task, limited_threads(1):
        outcomes = [
            lost_rows(material), blank_images(material, measures.contrast[:]),
            tiny_images(material, config.smallest_side_px), huge_images(material, config.largest_megapixels),
        ]  # fmt: skip
        task.advance()
        copies = find_copies(material, measures, config.embedding_similarity)
        outcomes += [duplicate_outcome(material, copies), two_label_outcome(material, copies)]
        outcomes += [grouping(material), split_crossing(material, copies)]
        outcomes += [found for found in [upstream_crossing(material, copies)] if found is not None]
        task.advance()
        outcomes += [label_errors(material, measures, config.folds, derive_seed(seed, "labels"))]
        outcomes += [outliers(material, measures)]
        task.advance()
        confounded = confounds(material, config.folds, config.confound_auroc, seed)
        task.advance()
        power = power_rows(material, config.discordance)
        subgroups = subgroup_rows(material, config.discordance, config.smallest_subgroup)
        outcomes += [confounded.outcome, class_sizes(material), power_outcome(material, power)]
        outcomes += [subgroup_outcome(material, subgroups, config.smallest_subgroup)]
        task.advance()
    pictures = montage(material, config.montage_images, seed)
    facts = _facts(material, workspace, outcomes, (copies, confounded, power, subgroups), pictures)
    findings, summary = workspace.resolve(FINDINGS), workspace.resolve(SUMMARY)
    with write_atomic(findings) as temporary:
        findings_table(finding for outcome in outcomes for finding in outcome.findings).to_parquet(
            temporary, index=False
        )
    write_json_atomic(summary, facts.to_json())
    progress.log(f"Checks: {facts.answer}")
    return stage.finish([findings, summary], _short(facts))


def _facts(
    material: Material, workspace: Workspace, outcomes: Sequence[Outcome],
    found: tuple[Copies, Confounds, tuple[PowerRow, ...], tuple[SubgroupRow, ...]],
    pictures: Mapping[str, tuple[str, ...]],
) -> IntakeFacts:  # fmt: skip
    copies, confounded, power, subgroups = found
    rows = tuple(outcome.row for outcome in outcomes)
    state, sentence = answer(rows, power)
    intake = material.intake
    n_kept, n_quarantined = len(material.manifest), len(material.quarantine)
    data_license = str(intake.get("data_license") or NOT_STATED)
    return IntakeFacts(
        state=state, answer=sentence, source_format=str(intake.get("source_format") or "not recorded"),
        data_license=workspace.data_license if data_license == NOT_STATED else data_license,
        n_rows_in=int(intake.get("rows_in", n_kept + n_quarantined)), n_kept=n_kept, n_quarantined=n_quarantined,
        is_split=material.is_split, columns=_texts(intake.get("columns")),
        column_reasons=_texts(intake.get("column_reasons")),
        notes=tuple(str(note) for name in ("notes", "warnings") for note in intake.get(name, ())),
        checks=rows, classes=class_rows(material), montage=pictures, confounds=confounded.rows, subgroups=subgroups,
        power=power, duplicates=shown_clusters(material, copies), n_duplicate_clusters=len(copies.clusters),
        suspects=_suspects(outcomes), quarantine=quarantine_reasons(material), skin_tone=skin_tone_facts(material),
        skipped=_skipped(material, outcomes), n_groups=len(set(material.groups.tolist())),
        n_patients=int(material.manifest["patient_id"].nunique()) if material.has_patients else None,
    )  # fmt: skip


def _suspects(outcomes: Sequence[Outcome]) -> tuple[SuspectImage, ...]:
    return tuple(suspect for outcome in outcomes for suspect in outcome.suspects[:SUSPECTS_SHOWN])


def _skipped(material: Material, outcomes: Sequence[Outcome]) -> dict[str, str]:
    skipped = {outcome.row.title: outcome.row.sentence for outcome in outcomes if outcome.row.state == "not_checked"}
    if material.facts is None:
        skipped["Facts of the original files"] = (
            f"{FILE_FACTS} is missing: format, quality, EXIF and border could not be checked for confounds. Import "
            "again "
            "to have it written."
        )
    return skipped


def _texts(value: Any) -> dict[str, str]:
    return {str(key): str(text) for key, text in value.items()} if isinstance(value, Mapping) else {}


def _short(facts: IntakeFacts) -> dict[str, Any]:
    """The stage's summary: the answer, and every check's state and sentence."""
    checks = {
        row.check: {"state": row.state, "n_flagged": row.n_flagged, "sentence": row.sentence} for row in facts.checks
    }
    return {"state": facts.state, "answer": facts.answer, "checks": checks, "is_split": facts.is_split}
