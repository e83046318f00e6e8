"""Backfill: past studies found at an archive and fetched from it, beside the way of today's patients.

Comes in: the words of `crlm-node backfill`. Goes out: studies that an archive sends to our own listener, which takes
them in as from any caller. Modules in the order in which they work: `criteria` (what is asked for), `pieces` (long
ranges of dates, asked in parts), `search` (C-FIND for studies), `plan` (what is to be done and what was, on disk),
`pace` (when the next study may come), `fetching` (C-MOVE of one study, held against the ledger), `campaign` (all of
them, one after the other), `display` (what a person sees). What can go wrong: the archive is away, refuses, answers
half or falls silent. Who is next: `node.association`, where the studies arrive.
"""
