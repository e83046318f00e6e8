"""Many studies at once, the research use: which cases there are (`plan`), and what a person sees (`display`).

Beside the ten stages. `workers.batch` measures the cases that are planned here, by the same code as one study alone.
"""
