"""The synthetic abdomen as it would come before a liver resection: what headers then say beside the usual.

Beside the ten stages. In: a slice's data set. Out: the same, with the request, the diagnosis and the time of the
injection. A signature of patients before resection asks for these. What can go wrong: nothing. Next: the node.
"""

from pydicom.dataset import Dataset

from node.phantom.dicom import STUDY_TIME

REASON = "Before liver resection"
DIAGNOSIS = "Untreated colorectal liver metastases"
DELAY_S = 70
"""From the injection to the first slice: portal venous."""


def before_resection(ds: Dataset, _index: int) -> None:
    """Say in a slice's header what the CT was requested for, and when the contrast agent was given."""
    request = Dataset()
    request.RequestedProcedureID = "1"
    request.RequestedProcedureDescription = "CT abdomen with contrast"
    request.ReasonForTheRequestedProcedure = REASON
    ds.RequestAttributesSequence = [request]
    ds.AdmittingDiagnosesDescription = DIAGNOSIS
    if "ContrastBolusAgent" in ds:
        seconds = int(STUDY_TIME[:2]) * 3600 + int(STUDY_TIME[2:4]) * 60 + int(STUDY_TIME[4:]) - DELAY_S
        ds.ContrastBolusStartTime = f"{seconds // 3600:02d}{seconds // 60 % 60:02d}{seconds % 60:02d}"
