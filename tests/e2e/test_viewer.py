"""What a radiologist sees of a result: an unchanged OHIF in a headless Chromium, before a real Orthanc that holds it.

What the viewer complains of in its console fails the test in which it does. The pictures lie in the folder that
CRLM_TEST_SCREENSHOTS names, else in one of pytest's own; a failure names the one that it was seen in.
"""

import os
import re
from collections.abc import Callable, Iterator, Mapping
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path

import highdicom as hd
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage
from studies import Study

from node.core.codes import STRUCTURES
from node.core.peer import Peer
from node.servers import Orthanc

ohif = pytest.importorskip("ohif")
