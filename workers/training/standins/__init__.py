"""Stand-in weights for TotalSegmentator: small networks in exactly the layout, names, plans and dataset.json it loads.

Beside the ten stages; for tests and for trials without the real weights. In: the library's own tables (by
`workers.segmentation.data_sets`). Out: a weights folder with its manifest. What can go wrong: ValueError where a class
is not one of the data set's. Three kinds, a module each, on the ground of `layout`:

- `noisy`: random convolutions, and a last layer that gives each class a cell of the features which noise brings
  forth, so that the output of `noise` holds every class.
- `banded`: networks that read the class from the picture: a voxel of `hu_of(name)` is that class, and what lies half
  a band away is background. What the library answers is then known for every voxel, whatever the grid.
- `knowing`: the demonstration model's knowledge, its last layer spread over the library's classes (`expand`).

    python -m workers.training.standins DIR [--kind random|banded|knowing] [--seed N] [--model models/demo]

Needs torch and nnunetv2.
"""
