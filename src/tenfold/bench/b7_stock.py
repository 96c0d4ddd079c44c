"""Classifiers by timm and torch alone: `python -m tenfold.bench.b7_stock CELLS.json OUT.json THREADS`.

A short restatement of timm's `train.py` (v1.0.31: model by name, its cosine scheduler with warm-up, a loader of image
files with torchvision transforms, validation in between, the best state kept) for small classes: batches are drawn by
a weighted sampler. Of Tenfold it only uses the one place that may seed.
"""

from __future__ import annotations

import copy
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from PIL import Image
from sklearn.metrics import log_loss, roc_auc_score
from timm.scheduler import CosineLRScheduler
from torch.utils.data import DataLoader, Dataset, WeightedRandomSampler
from torchvision import transforms as T

from tenfold.core.seeds import seed_everything


class ImageFiles(Dataset[tuple[torch.Tensor, int]]):
    """Image files with their class numbers."""

    def __init__(self, files: Sequence[str], labels: Sequence[int], transform: Any) -> None:
        self.files = files
        self.labels = labels
        self.transform = transform

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        with Image.open(self.files[index]) as image:
            return self.transform(image.convert("RGB")), self.labels[index]


def train(cell: dict[str, Any]) -> dict[str, Any]:
    """Train one cell; its best validation AUC and the probabilities of its test files."""
    seed_everything(cell["seed"])
    model = timm.create_model(cell["model"], num_classes=cell["class_count"])
    plain = [T.ToTensor(), T.Normalize(model.pretrained_cfg["mean"], model.pretrained_cfg["std"])]
    changes = [
        T.RandomPerspective(0.1, p=1.0),
        T.RandomRotation(30),
        T.RandomResizedCrop(cell["size_px"], scale=(0.7, 1.0), ratio=(0.9, 1.11), antialias=True),
        T.RandomHorizontalFlip(),
        T.RandomVerticalFlip(),
        T.ColorJitter(0.15, 0.15, 0.1),
    ]
    transform = T.Compose([*(changes if cell["transforms"] == "paper" else []), *plain])
    counts = np.bincount(cell["train_labels"])
    weights = [1 / float(counts[label]) for label in cell["train_labels"]]
    sampler = WeightedRandomSampler(weights, cell["steps"] * cell["batch_size"])
    dataset = ImageFiles(cell["train_files"], cell["train_labels"], transform)
    loader = DataLoader(dataset, batch_size=cell["batch_size"], sampler=sampler)
    validation, test = (
        DataLoader(ImageFiles(cell[f"{name}_files"], cell[f"{name}_labels"], T.Compose(plain)), batch_size=128)
        for name in ("validation", "test")
    )
    criterion = torch.nn.CrossEntropyLoss(label_smoothing=cell["label_smoothing"])
    optimizer = torch.optim.AdamW(model.parameters(), lr=cell["learning_rate"], weight_decay=cell["weight_decay"])
    scheduler = CosineLRScheduler(
        optimizer, t_initial=cell["steps"], warmup_t=cell["warmup_steps"], warmup_prefix=False, t_in_epochs=False
    )
    best, best_state = (-1.0, 0.0), model.state_dict()
    model.train()
    for step, (images, labels) in enumerate(loader):
        scheduler.step_update(step)
        loss = criterion(model(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if (step + 1) % cell["look_every"] == 0 or step + 1 == cell["steps"]:
            probs = predict(model, validation)
            auroc = roc_auc_score(cell["validation_labels"], probs, multi_class="ovr")
            found = (float(auroc), -float(log_loss(cell["validation_labels"], probs)))
            if found > best:
                best, best_state = found, copy.deepcopy(model.state_dict())
            model.train()
    model.load_state_dict(best_state)
    return {"name": cell["name"], "validation_auroc": best[0], "probs": predict(model, test).tolist()}


def predict(model: torch.nn.Module, loader: DataLoader[Any]) -> Any:
    """Probabilities (N, C) of a loader's images."""
    model.eval()
    with torch.inference_mode():
        parts = [torch.softmax(model(images).double(), dim=1) for images, _ in loader]
    return torch.cat(parts).numpy()


if __name__ == "__main__":
    cells_path, out_path, threads = sys.argv[1:]
    torch.set_num_threads(int(threads))
    results = [train(cell) for cell in json.loads(Path(cells_path).read_text())]
    Path(out_path).write_text(json.dumps(results))
