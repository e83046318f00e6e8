"""The ground that both the node and its workers stand on.

Reading order: `reasons` (the closed lists of codes), `errors` (four kinds, four answers), `codes` (every coded
concept and the table of measurements), `records` (what crosses the stages), `states` (the three state machines),
`settings`, `dicom` and `grid` (headers and slice positions), `spool` (the truth for instances), `ledger` (the truth
for everything else), `dimse` (statuses in words), `query` (C-FIND and C-MOVE), `peer` (the one DICOM client), `log`.
"""
