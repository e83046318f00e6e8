"""crlm-node: a DICOM node that measures abdominal CTs of patients with colorectal liver metastases.

The package `node` holds what talks to the hospital network and keeps the books: stages 1 to 5 of the way of a
study (association, intake, assembly, selection, handoff) and the command line. It never imports `workers`.
Read `node/core/__init__.py` next.
"""

from importlib.metadata import version

__version__ = version("crlm-node")
