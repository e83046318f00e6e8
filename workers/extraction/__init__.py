"""Radiomic features of files: what `crlm-node radiomics` runs. Beside the ten stages, as `batch` is.

Comes in: images and masks by path, or a list of them. Goes out: one table of features. Modules: `sources` (files and
DICOM become images and masks), `table` (regions become rows). What can go wrong: each region may fail by itself, with
its code; a list or a parameter file that cannot be read. Next: a researcher, or `crlm-node signature`.
"""
