"""Training of the demonstration model: a small nnU-Net that knows the synthetic abdomen and nothing else.

Beside the ten stages. In: seeds. Out: a folder in nnU-Net v2's layout, with a manifest, a model card and the log of
the run; `models/demo` holds one. What can go wrong: a network that misses its bars is written all the same and
its card says so. Reading order: workers.segmentation.demo (the model itself),
then truth, samples, network, loss, train, evaluate, validation, plans, export, card; `standins` stands beside.

    python -m workers.training train --out DIR [--minutes N] [--seed N]
    python -m workers.training validate --model DIR [--results FILE]

Needs torch and nnunetv2.
"""
