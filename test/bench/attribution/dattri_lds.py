"""LDS of dattri's own scores, by dattri's own metric, on what `npm run bench:attribution -- --npy OUT` exported:

    python dattri_lds.py OUT/tatqa        (pip install dattri==0.3.0 torch scipy)

dattri takes gradients of a model. Here the model has one parameter per block and a record is its own exported gradient:
the loss <parameter, record> has exactly that gradient, so dattri sees the numbers that every other method sees.
"""

import sys
from pathlib import Path

import numpy as np
import torch
from dattri.algorithm import IFAttributorDataInf, TracInAttributor
from dattri.metric import lds
from dattri.task import AttributionTask
from torch.utils.data import DataLoader, TensorDataset

folder = Path(sys.argv[1])
load = lambda name: torch.from_numpy(np.load(folder / f"{name}.npy"))
train, queries, losses = load("train"), load("queries"), load("losses")
sizes, halves = load("blocks").long().tolist(), load("halves").long()
torch.set_num_threads(1)


class Blocks(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.blocks = torch.nn.ParameterList([torch.nn.Parameter(torch.zeros(size)) for size in sizes])


def loss(params, data):
    parts = data[0].flatten().split(sizes)
    return sum((params[f"blocks.{i}"] * part).sum() for i, part in enumerate(parts))


def tracin(normalized):
    method = TracInAttributor(task, weight_list=torch.ones(1), normalized_grad=normalized)
    # dattri 0.3.0 projects to 512 dimensions even where its argument projector_kwargs is None.
    method.projector_kwargs = None
    return method


def report(name, scores):
    # attribute() is positive where training on the record lowers the query's loss.
    found = lds(scores, (-losses, halves))[0].numpy()
    draws = np.random.default_rng(7).choice(found, (2000, len(found))).mean(1)
    low, high = np.quantile(draws, [0.025, 0.975])
    print(f"{found.mean():.4f} [{low:.3f}, {high:.3f}]  dattri {name}", flush=True)


model = Blocks()
loader = lambda rows: DataLoader(TensorDataset(rows), batch_size=16, shuffle=False)
task = AttributionTask(loss_func=loss, model=model, checkpoints=model.state_dict())
with torch.no_grad():
    dots = tracin(False).attribute(loader(train), loader(queries))
    print(f"largest difference from NumPy's dot products: {(dots - train @ queries.T).abs().max():.1e}")
    report("TracIn (GradDot)", dots)
    report("TracIn, normalised (GradCos)", tracin(True).attribute(loader(train), loader(queries)))
    # DataInf's paper damps each layer by 0.1 of its mean squared gradient; dattri has one number for all layers.
    datainf = IFAttributorDataInf(task, regularization=0.1 * train.square().mean().item())
    datainf.cache(loader(train))
    report("DataInf, one damping", datainf.attribute(loader(train), loader(queries)))
