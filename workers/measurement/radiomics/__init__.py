"""Radiomic features by the definitions and names of PyRadiomics."""
