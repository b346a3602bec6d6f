"""The real ScanObjectNN, from the files that its authors give to those who ask (https://hkust-vgd.github.io/scanobjectnn/).

Their terms allow no copies, so this book ships none and downloads none: `read(path)` takes the file you were given. The names
say which task: `training_` or `test_`, then `objectdataset.h5` (upright, whole) or `objectdataset_augmentedrot_scale75.h5`
(boxes shifted by up to half, turned and scaled: the hardest); the folder `main_split` has the background, `main_split_nobg`
has none.

What goes wrong with other readers: **up is y** in the files, and z in this book and in the phrase "+z"; the mask is -1 on the
background, and the class or a part elsewhere; labels come as bytes, some tools add an axis to them; the points of a cloud are
in an order of their own, so the first 128 are no sample of it.
"""

from __future__ import annotations

from pathlib import Path

import numpy
import torch

from m2m import runtime
from m2m.data import cloud_scaling
from m2m.data.scans import NAMES, Scans

UP = torch.tensor([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])  # (x, y, z) -> (x, -z, y): y up to z up, a rotation


def read(path: str | Path, points: int | None = None, *, seed: int = 0, object_only: bool = False) -> Scans:
    """Scans from one of the files, z up, centred and scaled as `scans.make` does.

    Args:
        path: an h5 file with `data` (N, 2048, 3), `label` (N,) and, but for the files without background, `mask` (N, 2048).
        points: how many of each cloud, drawn at random with this seed; by default all.
        object_only: draw from the points of the object.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not HDF5, is cut off, lacks a part, or has shapes or numbers that do not fit.
    """
    data, label, mask = _parts(Path(path))
    most = data.shape[1] if not object_only else int(mask.sum(1).min())
    points = most if points is None else points
    if isinstance(points, bool) or not isinstance(points, int) or not 1 <= points <= most:
        raise ValueError(f"points: got {points!r}, expected 1 to {most}, the points that each cloud of {path} has")
    # A random order with the points of the object first where only they are wanted
    order = torch.rand(data.shape[:2], generator=runtime.generator(seed)) + (~mask if object_only else 0)
    chosen = order.argsort(1)[:, :points]
    x = data.gather(1, chosen[..., None].expand(-1, -1, 3)) @ UP.T
    return Scans(cloud_scaling.unit_sphere(x, centre="mean"), label, mask.gather(1, chosen))


def _parts(path: Path) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """data (N, n, 3) float32, label (N,) int64 and mask (N, n) of bool, checked."""
    import h5py

    if not path.is_file():
        raise FileNotFoundError(f"{path}: there is no such file; the authors of ScanObjectNN give theirs on request")
    try:
        with h5py.File(path, "r") as file:
            missing = {"data", "label"} - set(file)
            if missing:
                raise ValueError(f"{path}: lacks {', '.join(sorted(missing))}, has {', '.join(sorted(file)) or 'nothing'}")
            data, label = file["data"][:], file["label"][:].reshape(-1)
            mask = file["mask"][:] if "mask" in file else numpy.zeros(data.shape[:2])
    except OSError as error:
        raise ValueError(f"{path}: not an HDF5 file, or cut off ({error})") from error
    if data.ndim != 3 or data.shape[2] != 3 or not data.size or len(label) != len(data) or mask.shape != data.shape[:2]:
        got = f"data {data.shape}, label {label.shape}, mask {mask.shape}"
        raise ValueError(f"{path}: got {got}, expected (N, n, 3), (N,) and (N, n)")
    if not numpy.isfinite(data).all():
        raise ValueError(f"{path}: {(~numpy.isfinite(data)).any((1, 2)).sum()} clouds have numbers that are not finite")
    if not (0 <= label.min() and label.max() < len(NAMES)):
        raise ValueError(f"{path}: got labels {label.min()} to {label.max()}, expected 0 to {len(NAMES) - 1}")
    return torch.from_numpy(data).float(), torch.from_numpy(label.astype("int64")), torch.from_numpy(mask != -1)
