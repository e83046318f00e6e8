"""The demonstration model's folders as nnU-Net v2 lays them out: names, plans and dataset description.

In: a `Task`. Out: the contents of its plans.json and dataset.json. Next: `export` writes them,
`workers.segmentation.demo.model` reads them.
"""

from __future__ import annotations

from typing import Any

from workers.segmentation.demo.folder import CONFIGURATION
from workers.segmentation.demo.tasks import CLIP_HU, MEAN_HU, SD_HU, Task
from workers.training.network import IMPORTED, NETWORK_CLASS, architecture

DATASET = "Dataset900_SyntheticAbdomen"
_LINEAR = {"is_seg": False, "force_separate_z": False, "num_threads": 2}


def plans(task: Task) -> dict[str, Any]:
    """Return plans.json. Everything is resampled linearly along all three axes, thick slices included."""
    configuration = {
        "data_identifier": "nnUNetPlans_3d_fullres",
        "preprocessor_name": "DefaultPreprocessor",
        "batch_size": 1,
        "patch_size": list(task.patch),
        "median_image_size_in_voxels": list(task.patch),
        "spacing": list(task.spacing_mm),
        "normalization_schemes": ["CTNormalization", *["NoNormalization"] * len(task.hints)],
        "use_mask_for_norm": [False] * len(task.channels),
        "resampling_fn_data": "resample_torch_fornnunet",
        "resampling_fn_seg": "resample_torch_fornnunet",
        "resampling_fn_probabilities": "resample_torch_fornnunet",
        "resampling_fn_data_kwargs": _LINEAR,
        "resampling_fn_seg_kwargs": {**_LINEAR, "is_seg": True},
        "resampling_fn_probabilities_kwargs": _LINEAR,
        "batch_dice": False,
        "architecture": {
            "network_class_name": NETWORK_CLASS,
            "arch_kwargs": architecture(task),
            "_kw_requires_import": list(IMPORTED),
        },
    }
    intensities = {
        "mean": MEAN_HU,
        "median": MEAN_HU,
        "std": SD_HU,
        "min": CLIP_HU[0],
        "max": CLIP_HU[1],
        "percentile_00_5": CLIP_HU[0],
        "percentile_99_5": CLIP_HU[1],
    }
    return {
        "dataset_name": DATASET,
        "plans_name": "nnUNetPlans",
        "original_median_spacing_after_transp": list(task.spacing_mm),
        "original_median_shape_after_transp": list(task.patch),
        "image_reader_writer": "SimpleITKIO",
        "transpose_forward": [0, 1, 2],
        "transpose_backward": [0, 1, 2],
        "configurations": {CONFIGURATION: configuration},
        "experiment_planner_used": "ExperimentPlanner",
        "label_manager": "LabelManager",
        "foreground_intensity_properties_per_channel": {
            str(number): intensities for number in range(len(task.channels))
        },
    }


def dataset(task: Task) -> dict[str, Any]:
    """Return dataset.json."""
    return {
        "name": DATASET,
        "description": "DEMONSTRATION MODEL: trained on synthetic abdomens made of formulas; it knows no patient.",
        "licence": "Apache-2.0",
        "channel_names": {str(number): name for number, name in enumerate(task.channels)},
        "labels": task.label_numbers,
        "numTraining": 0,
        "file_ending": ".nii.gz",
    }
