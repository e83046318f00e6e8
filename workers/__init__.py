"""The workers of crlm-node: stages 6 to 10, from a series in the spool to proof that the results are in the PACS.

Reading order: `records` (what crosses the stages here), `analysis` (the stages in order), then `volume`,
`segmentation`, `measurement`, `report` and `delivery`; `tasks` and `app` put them behind Celery.
"""
