"""LDS of dattri's own scores, by dattri's own metric, on what `npm run bench:attribution -- --npy OUT` exported:

    python dattri_lds.py OUT/medquad        (pip install dattri==0.3.0 torch scipy)

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
    gradient = data[0].flatten()
    parts = gradient.split(sizes)
    return sum((params[f"blocks.{i}"] * part).sum() for i, part in enumerate(parts))


def interval(values, resamples=2000):
    draws = np.random.default_rng(7).choice(values, (resamples, len(values))).mean(1)
    return np.quantile(draws, [0.025, 0.975])


model = Blocks()
loader = lambda rows: DataLoader(TensorDataset(rows), batch_size=16, shuffle=False)
task = AttributionTask(loss_func=loss, model=model, checkpoints=model.state_dict())
# DataInf's paper damps each layer by 0.1 of its mean squared gradient; dattri has one number for all layers.
damping = 0.1 * train.square().mean().item()
methods = {
    "TracIn (GradDot)": TracInAttributor(task, weight_list=torch.ones(1), normalized_grad=False),
    "TracIn, normalised (GradCos)": TracInAttributor(task, weight_list=torch.ones(1), normalized_grad=True),
    f"DataInf, damping {damping:.2g}": IFAttributorDataInf(task, regularization=damping),
}
for name, method in methods.items():
    if isinstance(method, IFAttributorDataInf):
        method.cache(loader(train))
        with torch.no_grad():
            scores = method.attribute(loader(train), loader(queries))
    else:
        with torch.no_grad():
            scores = method.attribute(loader(train), loader(queries))
    # attribute() is positive where training on the record lowers the query's loss.
    found = lds(scores, (-losses, halves))[0].numpy()
    low, high = interval(found)
    print(f"{found.mean():.3f} [{low:.3f}, {high:.3f}]  dattri {name}", flush=True)
