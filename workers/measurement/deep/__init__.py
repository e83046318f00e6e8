"""Deep features: 256 values of a region, by a 3D network that is data and is named by its digest.

Reading order: description (what a network says of itself), folder (files, digests), patch (what the network sees),
encoder, embedding (the 256 values). No torch here, for stage 8 runs where there is none: convolutions are products of
matrices in float64, the same on every run.
"""
