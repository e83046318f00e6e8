"""Our radiomic features against published values: PyRadiomics' baselines and the consensus of IBSI (shared data)."""

import csv
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from feature_oracle import OURS, Asked, Case, differences

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")


@pytest.fixture(autouse=True)
def oracle(lacking: Callable[[str], None]) -> None:
    if find_spec("radiomics") is None:
        lacking("PyRadiomics")


def _read(image: Path, mask: Path, asked: Asked, bins: tuple[tuple[str, float], ...]) -> Case:
    import SimpleITK

    read = SimpleITK.ReadImage(str(image))
    inside = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(mask))) == 1
    z, y, x = read.GetSpacing()[::-1]
    return Case.cropped(SimpleITK.GetArrayFromImage(read), inside, (z, y, x), asked, bins)


SURFACE_THEN = 1e-3  # PyRadiomics 3.0.1 itself computes another volume than it published, by 1.2e-4
BASELINES = {
    "": (Asked(voxel_array_shift=2000), (("binWidth", 25.0),)),
    "_2d": (Asked(force2d=True), (("binWidth", 25.0),)),
    "_FBN": (Asked(), (("binCount", 64),)),
    "_combined": (Asked(weighting_norm="no_weighting"), (("binWidth", 25.0),)),
}


PUBLISHED = {"": 107, "_2d": 75, "_FBN": 75, "_combined": 40}


@pytest.mark.parametrize("kind", BASELINES)
@pytest.mark.parametrize("patient", ["brain1", "breast1"])
def test_features_are_those_that_pyradiomics_published(test_data: Path, patient: str, kind: str) -> None:
    """The baselines of two test cases of PyRadiomics, in 3D, slice by slice, with 64 bins, with directions added."""
    folder = test_data / "pyradiomics"
    asked, bins = BASELINES[kind]
    compared = 0
    case = _read(folder / f"{patient}_image.nrrd", folder / f"{patient}_label.nrrd", asked, bins)
    for name in OURS:
        with (folder / f"baseline_{name}.csv").open(newline="") as file:
            rows = {row["featureName"]: row for row in csv.DictReader(file)}
        ours = case.ours(name)
        published = {
            feature: float(rows[f"original_{name}_{feature}"][patient + kind])
            for feature in ours
            if patient + kind in rows[f"original_{name}_{feature}"]
        }
        compared += len(published)
        relative = SURFACE_THEN if name == "shape" else 1e-6
        assert differences(ours, case.theirs(name)) == [], name
        assert differences({feature: ours[feature] for feature in published}, published, relative) == [], name
    assert compared == PUBLISHED[kind]


IBSI = {
    "shape": {
        "morph_volume": "MeshVolume",
        "morph_vol_approx": "VoxelVolume",
        "morph_area_mesh": "SurfaceArea",
        "morph_av": "SurfaceVolumeRatio",
        "morph_sphericity": "Sphericity",
        "morph_diam": "Maximum3DDiameter",
        "morph_pca_elongation": "Elongation",
        "morph_pca_flatness": "Flatness",
    },
    "firstorder": {
        "stat_mean": "Mean",
        "stat_var": "Variance",
        "stat_skew": "Skewness",
        "stat_median": "Median",
        "stat_min": "Minimum",
        "stat_p10": "10Percentile",
        "stat_p90": "90Percentile",
        "stat_max": "Maximum",
        "stat_iqr": "InterquartileRange",
        "stat_range": "Range",
        "stat_mad": "MeanAbsoluteDeviation",
        "stat_rmad": "RobustMeanAbsoluteDeviation",
        "stat_energy": "Energy",
        "stat_rms": "RootMeanSquared",
        "ih_entropy": "Entropy",
        "ih_uniformity": "Uniformity",
    },
    "glcm": {
        "cm_joint_max_3D_avg": "MaximumProbability",
        "cm_joint_avg_3D_avg": "JointAverage",
        "cm_joint_var_3D_avg": "SumSquares",
        "cm_joint_entr_3D_avg": "JointEntropy",
        "cm_diff_avg_3D_avg": "DifferenceAverage",
        "cm_diff_var_3D_avg": "DifferenceVariance",
        "cm_diff_entr_3D_avg": "DifferenceEntropy",
        "cm_sum_avg_3D_avg": "SumAverage",
        "cm_sum_entr_3D_avg": "SumEntropy",
        "cm_energy_3D_avg": "JointEnergy",
        "cm_contrast_3D_avg": "Contrast",
        "cm_inv_diff_3D_avg": "Id",
        "cm_inv_diff_norm_3D_avg": "Idn",
        "cm_inv_diff_mom_3D_avg": "Idm",
        "cm_inv_diff_mom_norm_3D_avg": "Idmn",
        "cm_inv_var_3D_avg": "InverseVariance",
        "cm_corr_3D_avg": "Correlation",
        "cm_auto_corr_3D_avg": "Autocorrelation",
        "cm_clust_tend_3D_avg": "ClusterTendency",
        "cm_clust_shade_3D_avg": "ClusterShade",
        "cm_clust_prom_3D_avg": "ClusterProminence",
        "cm_info_corr1_3D_avg": "Imc1",
        "cm_info_corr2_3D_avg": "Imc2",
    },
    "glrlm": {
        "rlm_sre_3D_avg": "ShortRunEmphasis",
        "rlm_lre_3D_avg": "LongRunEmphasis",
        "rlm_lgre_3D_avg": "LowGrayLevelRunEmphasis",
        "rlm_hgre_3D_avg": "HighGrayLevelRunEmphasis",
        "rlm_srlge_3D_avg": "ShortRunLowGrayLevelEmphasis",
        "rlm_srhge_3D_avg": "ShortRunHighGrayLevelEmphasis",
        "rlm_lrlge_3D_avg": "LongRunLowGrayLevelEmphasis",
        "rlm_lrhge_3D_avg": "LongRunHighGrayLevelEmphasis",
        "rlm_glnu_3D_avg": "GrayLevelNonUniformity",
        "rlm_glnu_norm_3D_avg": "GrayLevelNonUniformityNormalized",
        "rlm_rlnu_3D_avg": "RunLengthNonUniformity",
        "rlm_rlnu_norm_3D_avg": "RunLengthNonUniformityNormalized",
        "rlm_r_perc_3D_avg": "RunPercentage",
        "rlm_gl_var_3D_avg": "GrayLevelVariance",
        "rlm_rl_var_3D_avg": "RunVariance",
        "rlm_rl_entr_3D_avg": "RunEntropy",
    },
    "glszm": {
        "szm_sze_3D": "SmallAreaEmphasis",
        "szm_lze_3D": "LargeAreaEmphasis",
        "szm_lgze_3D": "LowGrayLevelZoneEmphasis",
        "szm_hgze_3D": "HighGrayLevelZoneEmphasis",
        "szm_szlge_3D": "SmallAreaLowGrayLevelEmphasis",
        "szm_szhge_3D": "SmallAreaHighGrayLevelEmphasis",
        "szm_lzlge_3D": "LargeAreaLowGrayLevelEmphasis",
        "szm_lzhge_3D": "LargeAreaHighGrayLevelEmphasis",
        "szm_glnu_3D": "GrayLevelNonUniformity",
        "szm_glnu_norm_3D": "GrayLevelNonUniformityNormalized",
        "szm_zsnu_3D": "SizeZoneNonUniformity",
        "szm_zsnu_norm_3D": "SizeZoneNonUniformityNormalized",
        "szm_z_perc_3D": "ZonePercentage",
        "szm_gl_var_3D": "GrayLevelVariance",
        "szm_zs_var_3D": "ZoneVariance",
        "szm_zs_entr_3D": "ZoneEntropy",
    },
    "ngtdm": {
        "ngt_coarseness_3D": "Coarseness",
        "ngt_contrast_3D": "Contrast",
        "ngt_busyness_3D": "Busyness",
        "ngt_complexity_3D": "Complexity",
        "ngt_strength_3D": "Strength",
    },
    "gldm": {
        "ngl_lde_3D": "SmallDependenceEmphasis",
        "ngl_hde_3D": "LargeDependenceEmphasis",
        "ngl_lgce_3D": "LowGrayLevelEmphasis",
        "ngl_hgce_3D": "HighGrayLevelEmphasis",
        "ngl_ldlge_3D": "SmallDependenceLowGrayLevelEmphasis",
        "ngl_ldhge_3D": "SmallDependenceHighGrayLevelEmphasis",
        "ngl_hdlge_3D": "LargeDependenceLowGrayLevelEmphasis",
        "ngl_hdhge_3D": "LargeDependenceHighGrayLevelEmphasis",
        "ngl_glnu_3D": "GrayLevelNonUniformity",
        "ngl_dcnu_3D": "DependenceNonUniformity",
        "ngl_dcnu_norm_3D": "DependenceNonUniformityNormalized",
        "ngl_gl_var_3D": "GrayLevelVariance",
        "ngl_dc_var_3D": "DependenceVariance",
        "ngl_dc_entr_3D": "DependenceEntropy",
    },
}
THREE_DIGITS = 0.005


@pytest.fixture(scope="module")
def consensus(test_data: Path) -> dict[str, tuple[float, float]]:
    """Value and tolerance of each feature of the digital phantom."""
    with (test_data / "ibsi-digital" / "reference_values.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file, delimiter=";") if row["reference value"]]
    return {row["tag"]: (float(row["reference value"]), float(row["tolerance"])) for row in rows}


@pytest.fixture(scope="module")
def phantom(test_data: Path) -> Case:
    folder = test_data / "ibsi-digital"
    return _read(folder / "phantom.nii.gz", folder / "mask.nii.gz", Asked(), (("binWidth", 1),))


@pytest.mark.parametrize("name", IBSI)
def test_the_digital_phantom_has_the_values_of_the_consensus(
    name: str, phantom: Case, consensus: dict[str, tuple[float, float]]
) -> None:
    """To the three digits of the table, or its tolerance."""
    ours = phantom.ours(name)
    for tag, feature in IBSI[name].items():
        value, tolerance = consensus[tag]
        assert ours[feature] == pytest.approx(value, rel=THREE_DIGITS, abs=tolerance), (tag, feature)


def test_kurtosis_of_the_phantom_is_three_above_the_consensus(
    phantom: Case, consensus: dict[str, tuple[float, float]]
) -> None:
    """PyRadiomics does not subtract 3."""
    assert phantom.ours("firstorder")["Kurtosis"] - 3 == pytest.approx(consensus["stat_kurt"][0], rel=THREE_DIGITS)


def test_axes_of_the_phantom_are_shorter_than_the_consensus(
    phantom: Case, consensus: dict[str, tuple[float, float]]
) -> None:
    """PyRadiomics divides the covariance by N, IBSI by N - 1."""
    ours, number = phantom.ours("shape"), np.count_nonzero(phantom.mask)
    for tag, feature in (("maj", "Major"), ("min", "Minor"), ("least", "Least")):
        length = ours[f"{feature}AxisLength"] * np.sqrt(number / (number - 1))
        assert length == pytest.approx(consensus[f"morph_pca_{tag}_axis"][0], rel=THREE_DIGITS)


def test_all_features_with_a_consensus_are_compared() -> None:
    """All but four (above) and what IBSI lacks: TotalEnergy, MCC and the three diameters in planes."""
    compared = sum(len(set(one.values())) for one in IBSI.values())
    assert compared == sum(len(module.NAMES) for module in OURS.values()) - 9 == 98
