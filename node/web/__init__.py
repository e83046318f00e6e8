"""The page and the API: what people see of the node, and the orders that they may give without a command line.

Beside the ten stages. Comes in: requests of who is signed in. Goes out: pages made here, JSON, and orders by the very
functions that the command line calls (`node.operations`, `node.accounts`). What can go wrong is answered with a
sentence: an order that does not fit, a ledger that is away, a role that may not. Modules: `server` (the process),
`application` (routes), `guard` (who may what), `sessions` (signing in and out), `throttle`, `headers`, `pages`
(templates), one for each page (`sign_in`, `worklist`, `study` by `account`, `patient` by `plot`, `operation` by
`machine` and `echoes`, `trail`), `orders` (what the buttons do), `live` (changes as they happen), `api` by `shapes`,
`openapi`, `health` and `metrics`.
"""
