"""A network of nnU-Net that stays on its device: a picture goes in, labels come out, nothing touches a disk.

In: `Seen`. Out: labels on the same voxels. What can go wrong: `input-untrusted` for weights that cannot be loaded or
are of a kind that is not run here; torch's OutOfMemoryError, which `ladder` answers. Next: the tasks of the package.

The numbers are those of nnU-Net's own predictor, in its order: the same tiles, logits added up in half precision and
divided by the same weights, the largest of equals the first. What differs is what is held: nnU-Net keeps the logits of
all classes for the whole picture; here they are kept for the depth of a tile, and a slab becomes labels as soon as no
tile reaches it any more. So memory goes with the area of a slice, not with their number. Only where nnU-Net resamples
its answer (plans coarser than the library's spacing) are all logits kept, at the plans' voxels, and brought to the
finer ones class by class.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise, product
from pathlib import Path

import numpy as np
import torch
from acvl_utils.cropping_and_padding.bounding_boxes import bounding_box_to_slice, get_bbox_from_mask
from acvl_utils.cropping_and_padding.padding import pad_nd_image
from nnunetv2.configuration import default_num_processes
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
from nnunetv2.inference.sliding_window_prediction import compute_steps_for_sliding_window
from nnunetv2.preprocessing.resampling.default_resampling import compute_new_shape
from numpy.typing import NDArray

from node.core.errors import Untrusted
from node.core.reasons import StudyRefusal
from workers.cores import threads
from workers.segmentation.data_sets import DataSet
from workers.segmentation.library import import_library
from workers.segmentation.resident.picture import Seen
from workers.segmentation.resident.sums import Sums


class Warm:
    """A loaded network.

    Parameters
    ----------
    weights_dir, one
        Folder of the weights, and the data set.

    Raises
    ------
    Untrusted
        `input-untrusted`.
    """

    def __init__(self, weights_dir: Path, one: DataSet) -> None:
        import_library()
        made = nnUNetPredictor(
            use_mirroring=False, perform_everything_on_device=False, device=torch.device("cpu"), allow_tqdm=False
        )
        made.initialize_from_trained_model_folder(str(weights_dir / one.model), one.folds)
        self._plans, self._configuration = made.plans_manager, made.configuration_manager
        self._heads, self._network = made.label_manager.num_segmentation_heads, made.network.eval()
        self._preprocessor = self._configuration.preprocessor_class(verbose=False)
        unknown = {
            "several folds": len(made.list_of_parameters) > 1,
            "regions": made.label_manager.has_regions,
            "a stage before": self._configuration.previous_stage_name is not None,
            "a mask": any(self._configuration.use_mask_for_norm),
        }
        if any(unknown.values()):
            kind = ", ".join(name for name, found in unknown.items() if found)
            detail = f"weights {one.folder} need what the engine `resident` does not do: {kind}"
            raise Untrusted(StudyRefusal.INPUT_UNTRUSTED, detail)

    def labels(self, seen: Seen, step: float, device: torch.device, share: float = 1.0) -> NDArray[np.uint8]:
        """Return the labels (z, y, x) of a picture.

        Parameters
        ----------
        step
            From one tile to the next, as a part of a tile.
        share
            Edge of a tile, as a part of the plans': below 1 it takes less memory, and other labels come out.
        """
        torch.set_num_threads(min(default_num_processes, threads()) if device.type == "cpu" else 1)
        forward = list(self._plans.transpose_forward)
        values = seen.values.transpose(forward)
        spacing = [seen.spacing_mm[axis] for axis in forward]
        box = bounding_box_to_slice(get_bbox_from_mask(values != 0))
        data, inside = self._prepared(values[box], spacing), values[box].shape
        whole = np.zeros(values.shape, dtype=np.uint8)
        self._network.to(device)
        tile = self._tile(share)
        same = data.shape[1:] == inside
        logits = None if same else torch.empty((self._heads, *data.shape[1:]), dtype=torch.half)
        with torch.inference_mode():
            padded, kept = pad_nd_image(torch.from_numpy(data), tile, "constant", {"value": 0}, return_slicer=True)
            padded, (_, slices, *within) = padded.to(device), kept
            sums = Sums(self._heads, tile, padded.shape[2:], device)
            for first, last in self._done(sums, padded, tile, step):
                first, last = max(first, slices.start), min(last, slices.stop)
                rows = slice(first - slices.start, last - slices.start)
                if logits is None:
                    whole[box][rows] = sums.labels(first, last, within)
                else:
                    logits[:, rows] = sums.logits(first, last, within)
            if logits is not None:
                whole[box] = self._resampled(logits, inside, spacing)
        return whole.transpose(self._plans.transpose_backward)

    def _prepared(self, values: NDArray[np.float32], spacing: Sequence[float]) -> NDArray[np.float32]:
        """Return the picture (1, z, y, x) as nnU-Net's preprocessor normalises and resamples it."""
        data = np.array(values[None])
        target = self._configuration.spacing
        shape = compute_new_shape(data.shape[1:], spacing, target)
        no_mask = np.broadcast_to(np.int8(0), data.shape)
        properties = self._plans.foreground_intensity_properties_per_channel
        data = self._preprocessor._normalize(data, no_mask, self._configuration, properties)  # noqa: SLF001 - nnU-Net's
        ready: NDArray[np.float32] = self._configuration.resampling_fn_data(data, shape, spacing, target)
        return ready

    def _tile(self, share: float) -> tuple[int, ...]:
        """Return the edges of a tile: a part of the plans' patch that the network can halve as often as it does."""
        strides = np.prod(self._configuration.network_arch_init_kwargs["strides"], axis=0)
        patch = self._configuration.patch_size
        return tuple(
            max(int(edge * share) // int(stride), 1) * int(stride) if share < 1 else int(edge)
            for edge, stride in zip(patch, strides, strict=True)
        )

    def _done(self, sums: Sums, data: torch.Tensor, tile: tuple[int, ...], step: float) -> Iterator[tuple[int, int]]:
        """Add tile after tile; yield the first and last of the slices that no tile reaches any more."""
        begins, rows, columns = compute_steps_for_sliding_window(data.shape[1:], tile, step)
        for begin, end in pairwise([*begins, data.shape[1]]):
            for row, column in product(rows, columns):
                start = (begin, row, column)
                sums.add(start, self._answer(data, start, tile))
            yield begin, end

    def _answer(self, data: torch.Tensor, start: tuple[int, int, int], tile: tuple[int, ...]) -> torch.Tensor:
        """Return the logits of the tile that starts there."""
        place = tuple(slice(first, first + edge) for first, edge in zip(start, tile, strict=True))
        part = data[(slice(None), *place)][None].contiguous()
        with torch.autocast(data.device.type, enabled=data.device.type == "cuda"):
            answer: torch.Tensor = self._network(part)[0]
        return answer

    def _resampled(self, logits: torch.Tensor, shape: tuple[int, ...], spacing: Sequence[float]) -> NDArray[np.uint8]:
        """Return the labels of logits that are brought to a shape, class by class."""
        torch.set_num_threads(default_num_processes)
        best, found = None, np.zeros(shape, dtype=np.uint8)
        for number in range(len(logits)):
            one = logits[number : number + 1]
            fine = self._configuration.resampling_fn_probabilities(one, shape, self._configuration.spacing, spacing)
            fine = np.asarray(fine[0])
            if best is None:
                best = fine
                continue
            larger = fine > best
            found[larger] = number
            np.copyto(best, fine, where=larger)
        return found
