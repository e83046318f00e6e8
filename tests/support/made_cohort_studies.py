"""A cohort of phantom studies: the same coarse abdomen for every patient, with a liver whose attenuation foretells."""

import csv
from pathlib import Path

import numpy as np
import SimpleITK
from made_cohort import EVENT, ID, TIME

from node.phantom import covering_grid, render, standard_anatomy, truth_masks, write_ct, write_seg

PARAMS = """
setting: {binWidth: 20, label: 1, resegmentRange: [-200, 300], additionalInfo: true}
imageType: {Original: {}}
featureClass: {firstorder: [Mean, Entropy, Kurtosis, Skewness], shape: [MeshVolume]}
"""
BRIGHTER_HU = 12.0
_SPACING_MM = (12.0, 9.0, 9.0)


def write(folder: Path, patients: int, dicom: int = 0) -> tuple[Path, Path, Path]:
    """Write folders of patients, `dicom` of them as a CT series with a SEG and the others as NRRD; return their
    folder, the follow-up and the parameter file.

    A liver that is one SD brighter shortens life by the factor e.
    """
    anatomy = standard_anatomy()
    grid = covering_grid(anatomy, spacing_mm=_SPACING_MM)
    picture = render(anatomy, grid, noise_sd_hu=10.0)
    liver = dict(truth_masks(picture))["liver"]
    draw = np.random.default_rng(4)
    brighter = draw.normal(size=patients)
    months = np.round(draw.exponential(40 * np.exp(-brighter)), 1) + 0.1
    followup, params, home = folder / "followup.csv", folder / "params.yaml", folder / "studies"
    params.write_text(PARAMS)
    with followup.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([ID, TIME, EVENT])
        writer.writerows([f"P{place:02}", time, int(time < 120)] for place, time in enumerate(months))
    for place in range(patients):
        own = home / f"P{place:02}"
        own.mkdir(parents=True)
        hu = picture.hu + draw.normal(0, 5, liver.shape).astype(np.int16)
        hu[liver] += np.int16(round(BRIGHTER_HU * brighter[place]))
        if place < dicom:
            shown = type(picture)(hu, picture.labels, picture.vertebral_bodies, anatomy, grid)
            files = write_ct(own / "ct", shown, grid, anatomy, uid_seed=f"cohort {place}")
            write_seg(own / "seg.dcm", shown, files, only={"liver"})
        else:
            for name, array in (("image", hu), ("mask", liver.astype(np.uint8))):
                image = SimpleITK.GetImageFromArray(array)
                image.SetSpacing(_SPACING_MM[::-1])
                SimpleITK.WriteImage(image, str(own / f"{name}.nrrd"))
    return home, followup, params
