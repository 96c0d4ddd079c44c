"""Train the embedded base and feature net again, or export what a running training has reached so far.

    python scripts/train_embedded_base.py --work DIR --workers 4            # train, then ship into the package
    python scripts/train_embedded_base.py --work DIR --export-only          # ship the newest checkpoints

The phantom's archive and the seed fix what is trained on; a killed training goes on when the same command is given
again.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from tenfold.core.executor import ProcessExecutor
from tenfold.core.files import write_json_atomic
from tenfold.core.progress import NullProgress
from tenfold.finetuning.pretrain import Work, make_archive, train_latent_space, train_on_latents
from tenfold.finetuning.pretrain_config import PretrainConfig
from tenfold.finetuning.pretrain_export import export_base, export_features
from tenfold.models import embedded

EMBEDDED = Path(embedded.__file__).parent

CONFIG = PretrainConfig(data_parallel=2, checkpointing_steps=100, device="cpu")
"""What the shipped weights were trained with (see MODEL_CARD.md)."""


def main() -> None:
    arguments = _arguments()
    work = Work(CONFIG, arguments.work, arguments.archive or arguments.work / "archive")
    if not arguments.export_only:
        with ProcessExecutor(arguments.workers) as executor:
            for name, part in (
                ("archive", _archive),
                ("latent space", train_latent_space),
                ("latents", train_on_latents),
            ):
                start = time.monotonic()
                answer = part(work, executor, NullProgress())
                print(f"{time.ctime()} {name}: {time.monotonic() - start:.0f} s {answer or ''}", flush=True)
    print(ship(work), flush=True)


def ship(work: Work) -> dict[str, int]:
    """Write the newest weights into the package with their digests; the training steps behind each part."""
    steps = export_base(work.config, work.folder, EMBEDDED / "base")
    if (work.folder / "features" / "checkpoints").is_dir():
        steps["features"] = export_features(work.config, work.folder, EMBEDDED / "features")
    write_json_atomic(EMBEDDED / "digests.json", embedded.digests_of(EMBEDDED))
    return steps


def _archive(work: Work, executor: ProcessExecutor, progress: NullProgress) -> str:
    return f"{len(make_archive(work, None, executor, progress))} images"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder for checkpoints and caches (about 5 GB)")
    parser.add_argument("--archive", type=Path, help="folder of the rendered archive, if elsewhere")
    parser.add_argument("--workers", type=int, default=4, help="processes of one thread each")
    parser.add_argument("--export-only", action="store_true", help="ship the newest checkpoints without training on")
    return parser.parse_args()


if __name__ == "__main__":
    main()
