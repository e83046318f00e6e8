"""Slices in every transfer syntax: encoded by pydicom's plugins, by GDCM or, for JPEG Baseline, by Pillow.

Beside the ten stages. In: a data set with native pixels. Out: the same one encoded. A lossy one says so (PS3.3
C.7.6.1.1.5). What can go wrong: an encoder that refuses the pixels (RuntimeError). Next: `node.phantom.dicom` writes
it.
"""

from collections.abc import Callable, Mapping
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory

import gdcm
import numpy as np
from PIL import Image
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    JPEG2000,
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

SYNTAXES: Mapping[str, UID] = {
    "implicit-vr": ImplicitVRLittleEndian,
    "deflated": DeflatedExplicitVRLittleEndian,
    "big-endian": ExplicitVRBigEndian,
    "rle": RLELossless,
    "jpeg-lossless": JPEGLossless,
    "jpeg-lossless-sv1": JPEGLosslessSV1,
    "jpeg-ls": JPEGLSLossless,
    "jpeg-2000-lossless": JPEG2000Lossless,
    "jpeg-ls-lossy": JPEGLSNearLossless,
    "jpeg-2000-lossy": JPEG2000,
    "jpeg-baseline": JPEGBaseline8Bit,
    "jpeg-extended": JPEGExtended12Bit,
}
"""By the name of the kind; all that the node takes in beside Explicit VR Little Endian, and one that it does not."""

EIGHT_BITS_FROM_HU, EIGHT_BITS_STEP_HU = -200, 2
"""What 8 bits hold: soft tissue and bone up to 310 HU, in steps of 2."""
NEAR_HU = 2
"""Largest error of a near-lossless pixel [HU]."""
RATIO, QUALITY = 8, 98
"""Compression of JPEG 2000 and quality of JPEG: a reader would see no loss."""


def encode(ds: Dataset, syntax: UID) -> None:
    """Encode a data set of native little endian pixels, in place."""
    _ENCODERS.get(syntax, _by_plugin)(ds, syntax)
    ds.file_meta.TransferSyntaxUID = syntax


def _natively(ds: Dataset, syntax: UID) -> None:
    if syntax == ExplicitVRBigEndian:
        ds.PixelData = np.frombuffer(ds.PixelData, "<u2").astype(">u2").tobytes()
    ds["PixelData"].VR = "OW"


def _by_plugin(ds: Dataset, syntax: UID) -> None:
    native = len(ds.PixelData)
    if syntax == JPEGLSNearLossless:
        ds.compress(syntax, jls_error=NEAR_HU, generate_instance_uid=False)
        _tell_loss(ds, native, "ISO_14495_1")
    elif syntax == JPEG2000:
        ds.compress(syntax, j2k_cr=[RATIO], generate_instance_uid=False)
        _tell_loss(ds, native, "ISO_15444_1")
    else:
        ds.compress(syntax, generate_instance_uid=False)


def _by_gdcm(ds: Dataset, syntax: UID) -> None:
    """Encode by GDCM, which works on files."""
    native = len(ds.PixelData)
    with TemporaryDirectory() as folder:
        plain, packed = Path(folder, "plain.dcm"), Path(folder, "packed.dcm")
        ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        ds.save_as(plain, enforce_file_format=True)
        reader = gdcm.ImageReader()
        reader.SetFileName(str(plain))
        change = gdcm.ImageChangeTransferSyntax()
        change.SetTransferSyntax(gdcm.TransferSyntax(_GDCM[syntax]))
        codec = gdcm.JPEGCodec()  # has to live as long as `change`
        if syntax == JPEGExtended12Bit:  # GDCM ends the process where a lossless codec is given a quality
            codec.SetLossless(False)
            codec.SetQuality(QUALITY)
        change.SetUserCodec(codec)
        read = reader.Read()
        change.SetInput(reader.GetImage())
        writer = gdcm.ImageWriter()
        writer.SetFileName(str(packed))
        if not (read and change.Change()):
            raise RuntimeError(f"GDCM does not encode {syntax.name}")
        writer.SetFile(reader.GetFile())
        writer.SetImage(change.GetOutput())
        if not writer.Write():
            raise RuntimeError(f"GDCM does not write {syntax.name}")
        _encapsulated(ds, dcmread(packed).PixelData)
    if syntax == JPEGExtended12Bit:
        _tell_loss(ds, native, "ISO_10918_1")


def _by_pillow(ds: Dataset, syntax: UID) -> None:
    del syntax  # of the one kind
    stored = np.frombuffer(ds.PixelData, "<u2").reshape(ds.Rows, ds.Columns).astype(int)
    hu = stored * int(ds.RescaleSlope) + int(ds.RescaleIntercept)
    bits = np.clip((hu - EIGHT_BITS_FROM_HU) // EIGHT_BITS_STEP_HU, 0, 255).astype(np.uint8)
    stream = BytesIO()
    Image.fromarray(bits).save(stream, "JPEG", quality=QUALITY)
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = 8, 8, 7
    ds.RescaleSlope, ds.RescaleIntercept = str(EIGHT_BITS_STEP_HU), str(EIGHT_BITS_FROM_HU)
    _encapsulated(ds, encapsulate([stream.getvalue()]))
    _tell_loss(ds, bits.size, "ISO_10918_1")


def _encapsulated(ds: Dataset, pixels: bytes) -> None:
    ds.PixelData = pixels
    ds["PixelData"].VR = "OB"
    ds["PixelData"].is_undefined_length = True


def _tell_loss(ds: Dataset, native: int, method: str) -> None:
    ds.LossyImageCompression = "01"
    ds.LossyImageCompressionRatio = f"{native / len(ds.PixelData):.2f}"
    ds.LossyImageCompressionMethod = method


_GDCM = {
    JPEGLossless: gdcm.TransferSyntax.JPEGLosslessProcess14,
    JPEGLosslessSV1: gdcm.TransferSyntax.JPEGLosslessProcess14_1,
    JPEGExtended12Bit: gdcm.TransferSyntax.JPEGExtendedProcess2_4,
}
_ENCODERS: Mapping[UID, Callable[[Dataset, UID], None]] = {
    ImplicitVRLittleEndian: _natively,
    DeflatedExplicitVRLittleEndian: _natively,
    ExplicitVRBigEndian: _natively,
    JPEGLossless: _by_gdcm,
    JPEGLosslessSV1: _by_gdcm,
    JPEGExtended12Bit: _by_gdcm,
    JPEGBaseline8Bit: _by_pillow,
}
