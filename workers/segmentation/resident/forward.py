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

import os
from collections.abc import Iterator, Sequence
from itertools import pairwise, product
from pathlib import Path

import numpy as np
import torch
from acvl_utils.cropping_and_padding.bounding_boxes import bounding_box_to_slice, get_bbox_from_mask
from acvl_utils.cropping_and_padding.padding import pad_nd_image
from nnunetv2.configuration import default_num_processes
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
from nnunetv2.inference.sliding_window_prediction import compute_gaussian, compute_steps_for_sliding_window
from nnunetv2.preprocessing.resampling.default_resampling import compute_new_shape
from numpy.typing import NDArray

from node.core.errors import Untrusted
from node.core.reasons import StudyRefusal
from workers.compiled import compiled
from workers.segmentation.data_sets import DataSet
from workers.segmentation.library import import_library
from workers.segmentation.resident.picture import Seen

_AT_ONCE = 8  # classes that are added in one step: what it copies stays small
_INFINITE = 0x7C00  # bits of infinity in half precision


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
        with torch.inference_mode():
            padded, kept = pad_nd_image(torch.from_numpy(data), tile, "constant", {"value": 0}, return_slicer=True)
            slabs = self._slabs(padded.to(device), tile, step, kept[1:])
            if data.shape[1:] == inside:
                _lay(slabs, whole[box])
            else:
                logits = torch.empty((self._heads, *data.shape[1:]), dtype=torch.half)
                for rows, slab in slabs:
                    logits[:, rows] = slab
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

    def _slabs(
        self, data: torch.Tensor, tile: tuple[int, ...], step: float, kept: Sequence[slice]
    ) -> Iterator[tuple[slice, torch.Tensor]]:
        """Yield the logits of what is not padding, slab by slab: rows of the first axis, and theirs."""
        depth, height, width = tile
        gaussian = compute_gaussian(tile, sigma_scale=1.0 / 8, value_scaling_factor=10, device=data.device)
        logits = torch.zeros((self._heads, depth, *data.shape[2:]), dtype=torch.half, device=data.device)
        weights = torch.zeros(logits.shape[1:], dtype=torch.half, device=data.device)
        begins, rows, columns = compute_steps_for_sliding_window(data.shape[1:], tile, step)
        low, high = kept[0].start, kept[0].stop
        for begin, end in pairwise([*begins, data.shape[1]]):
            for row, column in product(rows, columns):
                place = (slice(None), slice(row, row + height), slice(column, column + width))
                part = data[:, begin : begin + depth][(slice(None), *place)]
                with torch.autocast(data.device.type, enabled=data.device.type == "cuda"):
                    answer = self._network(part[None].contiguous())[0]
                answer *= gaussian.to(answer.dtype)
                _add(logits[(slice(None), *place)], answer)
                weights[place] += gaussian
            first, last = max(begin, low), min(end, high)
            if first < last:
                done = slice(first - begin, last - begin)
                slab = torch.div(logits[:, done], weights[done])
                yield slice(first - low, last - low), slab[(slice(None), slice(None), *kept[1:])]
            for sums in (logits, weights[None]):  # what the next tiles reach moves to the front
                left = depth - (end - begin)
                sums[:, :left] = sums[:, depth - left :].clone()
                sums[:, left:] = 0

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


def threads() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0))


def _add(sums: torch.Tensor, answer: torch.Tensor) -> None:
    """Add to sums in half precision, each rounded once: as `sums += answer`, which is slow between precisions."""
    for some, more in zip(sums.split(_AT_ONCE), answer.split(_AT_ONCE), strict=True):
        some.copy_(some.to(more.dtype).add_(more))


def _lay(slabs: Iterator[tuple[slice, torch.Tensor]], labels: NDArray[np.uint8]) -> None:
    """Write the label of the largest logit of each voxel."""
    for rows, slab in slabs:
        if slab.device.type == "cpu":
            finite = _largest(slab.view(torch.int16).numpy(), labels[rows])
        else:
            finite = not torch.isinf(slab).any()
            labels[rows] = slab.argmax(dim=0).to(torch.uint8).cpu().numpy()
        if not finite:
            raise RuntimeError("a logit is infinite in half precision")


@compiled()
def _largest(bits: NDArray[np.int16], labels: NDArray[np.uint8]) -> bool:
    """Write which class is the largest, of equals the first, and say whether none is infinite.

    The bits of numbers in half precision stand in the order of the numbers, those of negative ones in the opposite.
    """
    finite = True
    best = np.empty(labels.shape[2], dtype=np.int32)
    for k in range(labels.shape[0]):
        for j in range(labels.shape[1]):
            best[:] = -65536
            for number in range(bits.shape[0]):
                for i in range(labels.shape[2]):
                    word = np.int32(bits[number, k, j, i])
                    order = word if word >= 0 else -(word & 0x7FFF)
                    finite &= (word & 0x7FFF) != _INFINITE
                    if order > best[i]:
                        best[i] = order
                        labels[k, j, i] = number
    return finite
