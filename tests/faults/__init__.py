"""Faults: the whole site under kills, outages, full disks and cut connections, judged from outside.

Reading order: `material` (the studies that are sent), `proxy` (connections that can be cut), `site` (real processes
and who starts them again), `sender` (a modality with its own log), `injection` (the faults), `campaign` (faults while
studies travel, then quiet), `invariants` (what must hold afterwards), `report`, `soak`.
"""
