"""Reading results from outside: what an SR, a SEG or a Summary says, and whether it keeps to the rules for results.

Beside the ten stages. Comes in: DICOM files, ours and those of strangers. Goes out: a page for a person, or a verdict
on each rule. It reads data sets with pydicom alone and knows nothing of what writes them. What can go wrong: a file
cannot be read (`Refused`); what cannot be read within a file is as if it were not there.

Rooms: `reading` (attributes and codes), `content` (content items), `listed` (lists of references), `objects` (kinds of
objects), `frames` (what a SEG holds). To show: `curtain` (what is not shown), `phrases` and `tree` (an SR as a tree),
`pages` (headings, tables of segments), `colour`. To check: `subject` (an object with what lies beside it), `verdict`
(rules and what they find), `rules/`, `screen` (verdicts on the terminal).
"""
