"""One repetition's sets and generators: what its arms ask for at every size, shared as far as it can be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from tenfold.core.seeds import derive_seed
from tenfold.studies.arms import FROM_REAL_IMAGES, PAINTED, TUNABLE, ArmSpec, Budget
from tenfold.studies.draws import Draw
from tenfold.studies.material import Material
from tenfold.studies.plan import Generator, GeneratorKind, SyntheticSet
from tenfold.studies.variants import Dose


@dataclass(frozen=True)
class Rules:
    """What all repetitions of a study share."""

    study: str
    dose: Dose
    material: Material
    is_per_class: bool = False
    """Whether each class has its own generator."""
    has_painter: bool = False
    """Whether inpainting is fine-tuned apart from drawing by prompts."""


@dataclass(frozen=True)
class _Source:
    """Where images of a set come from; `budget` None: from the base, or from no generator."""

    strategy: str
    budget: Budget | None
    labels: tuple[str, ...]
    size: int | None
    """The training size it belongs to; None: one set for all sizes."""
    own: int
    """Real images of each of its classes that it starts from, where it does."""


@dataclass(frozen=True)
class Wanted:
    """What a cell takes of the sets: each with its images per class, in the arm's order."""

    parts: tuple[tuple[_Source, int], ...]


@dataclass
class Repetition:
    """Collects what arms want (`want`), then names the sets (`sets`), their generators and each cell's share."""

    rules: Rules
    draw: Draw
    _counts: dict[_Source, int] = field(default_factory=dict)

    def want(self, spec: ArmSpec, size: int, notes: list[str]) -> Wanted | str:
        """What the arm takes, or the reason why the images cannot give it. Notes say what they can give in part."""
        parts = []
        for strategy, labels, own in self._groups(spec, size):
            is_tuned = spec.generator == "fine_tuned" and strategy in TUNABLE
            budget = self.rules.dose.budget(spec) if is_tuned else None
            shared = strategy == "text2img" and budget in (None, "pooled")
            source = _Source(strategy, budget, labels, None if shared else size, 0 if shared else own)
            images = self.draw.training(own, labels=labels)
            usable, reason = self.rules.material.sources(strategy, images)
            if reason:
                return reason
            if len(usable) < len(images):
                note = (
                    f"{len(images) - len(usable)} of {len(images)} training images at {size} a class have no mask: "
                    "painting and composites start from the others."
                )
                if note not in notes:
                    notes.append(note)
            parts.append((source, self._ratio(spec, strategy) * own))
        for source, count in parts:
            self._counts[source] = max(count, self._counts.get(source, 0))
        return Wanted(tuple(parts))

    def sets(self) -> list[SyntheticSet]:
        """Every set that is wanted, as large as the largest wish."""
        return [self._set(source, count) for source, count in self._counts.items()]

    def generators(self) -> list[Generator]:
        """The models that draw them."""
        found = {self._generator_name(source): source for source in self._counts if source.budget is not None}
        return [self._generator(name, source) for name, source in found.items()]

    def taken(self, wanted: Wanted) -> tuple[tuple[SyntheticSet, ...], tuple[int, ...]]:
        """A cell's sets, and how many images a class it takes of each: () where it takes all of all."""
        made = tuple(self._set(source, self._counts[source]) for source, _ in wanted.parts)
        counts = tuple(count for _, count in wanted.parts)
        is_all = all(one.images_per_class == count for one, count in zip(made, counts, strict=True))
        return made, () if is_all else counts

    def _groups(self, spec: ArmSpec, size: int) -> list[tuple[str, tuple[str, ...], int]]:
        """Strategies with the labels that one set of each covers, and the real images of each that it starts from."""
        labels = tuple(label for label in self.draw.labels if label in (spec.synthetic_labels or self.draw.labels))
        others = tuple(label for label in self.draw.labels if label not in labels) if spec.origin_balanced else ()
        groups: list[tuple[str, tuple[str, ...], int]] = []
        for strategy, covered in [*((strategy, labels) for strategy in spec.sets), ("autoencoder", others)]:
            splits = self.rules.is_per_class and spec.generator == "fine_tuned" and strategy in TUNABLE
            by_count: dict[tuple[object, int], list[str]] = {}
            for label in covered:
                # Images drawn from prompts go by the training size, whatever the arm's own real images are.
                own = spec.real_counts.get(label, 0) if strategy in FROM_REAL_IMAGES else 0
                by_count.setdefault((label if splits else None, own or size), []).append(label)
            groups += [(strategy, tuple(same), own) for (_, own), same in by_count.items()]
        return groups

    def _ratio(self, spec: ArmSpec, strategy: str) -> int:
        asked = self.rules.dose.ratio(spec, strategy)
        return min(asked, len(self.rules.material.tones)) if strategy == "recolor" else asked

    def _set(self, source: _Source, count: int) -> SyntheticSet:
        generator = None if source.budget is None else self._generator_name(source)
        training_ids = self._training_ids(source)
        started_from: tuple[str, ...] = ()
        if source.strategy in FROM_REAL_IMAGES:
            own = self.draw.training(source.own, labels=source.labels)
            started_from = self.rules.material.sources(source.strategy, own)[0]
            training_ids = training_ids or started_from
        return SyntheticSet(
            name=self._set_name(source),
            strategy=source.strategy,
            generator=generator,
            generator_seed=self._seed(source.labels),
            source_ids=started_from,
            training_ids=training_ids,
            images_per_class=count,
            labels=source.labels,
        )

    def _generator(self, name: str, source: _Source) -> Generator:
        kind: GeneratorKind = "inpainting" if self._is_painter(source) else "dreambooth"
        ids = self._training_ids(source)
        return Generator(name, kind, source.budget or "strict", self._seed(source.labels), ids, source.labels)

    def _training_ids(self, source: _Source) -> tuple[str, ...]:
        """What its generator learns from; () without one."""
        if source.budget is None:
            return ()
        if source.budget == "pooled":
            return self.draw.every(source.labels)
        return self.draw.training(source.size or 0, labels=source.labels)

    def _seed(self, labels: Sequence[str]) -> int:
        seed = self.draw.seed("generator")
        return seed if len(labels) == len(self.draw.labels) else derive_seed(seed, "labels", *labels)

    def _is_painter(self, source: _Source) -> bool:
        return self.rules.has_painter and source.strategy in PAINTED

    def _generator_name(self, source: _Source) -> str:
        suffix = "-painter" if self._is_painter(source) else ""
        own = replace(source, size=None) if source.budget == "pooled" else source
        budget = "" if source.budget == "strict" else f"-{source.budget}"
        return f"{self._scope(own)}{budget}{self._label_suffix(source)}{suffix}"

    def _set_name(self, source: _Source) -> str:
        """Sets drawn by prompts are called as their generator."""
        own = f"-r{source.own}" if source.size is not None and source.own != source.size else ""
        if source.budget is None:
            return f"{self._scope(source)}-{source.strategy}{self._label_suffix(source)}{own}"
        generator = self._generator_name(source)
        if source.strategy == "text2img":
            return generator
        size = "" if source.budget != "pooled" else f"-n{source.size}"
        return f"{generator}{size}-tuned-{source.strategy}{own}"

    def _scope(self, source: _Source) -> str:
        size = "" if source.size is None else f"-n{source.size}"
        return f"{self.rules.study}{size}-s{self.draw.seed_index}"

    def _label_suffix(self, source: _Source) -> str:
        numbers: Mapping[str, int] = {label: number for number, label in enumerate(self.draw.labels)}
        covers_all = len(source.labels) == len(self.draw.labels)
        return "" if covers_all else "-c" + "-".join(str(numbers[label]) for label in source.labels)
