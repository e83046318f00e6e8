"""Fitting of a signature: what `crlm-node signature fit` runs.

Beside the ten stages. In: a table of features and a follow-up table of the same patients. Out: a folder with a
manifest, a model card, `report.json` and figures. What can go wrong: the tables do not make a cohort (`WrongCohort`).
Reading order: tables, cohort, cox, concordance, filters, candidates, procedure, nested, curves, judgement, about,
export, report, card, figures, command; `studies` makes the table of features from a folder of CTs and masks.

Every choice, the method included, is made from training patients alone, so the outer folds of `nested` judge the whole
procedure. Nothing that serves studies imports this package; it needs `pip install 'crlm-node[fit]'`.
"""
