"""Voxels into files, a little at a time.

What stands above the voxels is Slicer's own: its storage nodes write a file of the same nodes with a handful of voxels,
and of that the header is taken. So the files are those that Slicer writes, attribute for attribute, but a large result
does not hold up the application while it is packed.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import slicer
import vtk
from vtk.util.numpy_support import get_vtk_array_type, vtk_to_numpy

from ..errors import SemiSegError
from ..pieces import Shares
from . import marks
from .cine import copy_index
from .geometry import copy_geometry
from .pieces import slabs
from .segmentation import LABELMAP

_REPRESENTATIONS = (LABELMAP, "Closed surface", "Fractional labelmap", "Planar contour", "Ribbon model")
_LEVEL = 1
_PACKED_BYTES = 1 << 20
_NIFTI_SIZES, _NIFTI_AXES = 40, "<8h"
_SAME_MM = 1e-6
_FRAMES_AT_ONCE = 200
"""Of a sequence's header, for which Slicer takes 0.06 ms each."""
_ORDER, _ITEM = re.compile(r"axis \d+ index values:="), re.compile(r"(axis \d+ item )(\d+)")
_SEGMENT_ID = re.compile(r"(Segment\d+_)ID")
_SMALL = 2
"""Voxels along each axis of the small file, where there are so many: some writers leave out axes of a single one."""


def write_volume_in_pieces(volume: Any, voxels: np.ndarray, path: Path) -> Shares[None]:
    """Write voxels on the grid of a volume.

    Args:
        volume: ``vtkMRMLVolumeNode``, which says where they lie; its own voxels do not matter.
        voxels: ``(Z, Y, X)``, with a last axis where each holds several numbers.
        path: ends in ``.nrrd`` or ``.nii.gz``.

    Raises:
        OSError: the disk is full.
    """
    small = type(volume)()
    copy_geometry(volume, small)
    small.SetAndObserveImageData(_small_image(voxels))
    storage = slicer.vtkMRMLVolumeArchetypeStorageNode()
    if path.name.lower().endswith(".nrrd"):
        head = _nrrd_head(*_head_lines(_small_file(storage, small, path, ".nrrd")), voxels.shape[2::-1])
        yield from _pack_in_pieces(path, head, b"", (voxels[part] for part in slabs(voxels)), voxels.nbytes)
    else:
        header = bytearray(_small_file(storage, small, path, ".nii")[: -_small_voxels(voxels).nbytes])
        sizes = list(struct.unpack_from(_NIFTI_AXES, header, _NIFTI_SIZES))
        sizes[1:4] = voxels.shape[2::-1]
        struct.pack_into(_NIFTI_AXES, header, _NIFTI_SIZES, *sizes)
        yield from _pack_in_pieces(path, b"", bytes(header), (voxels[part] for part in slabs(voxels)), voxels.nbytes)


def write_sequence_in_pieces(
    like: Any, frames: Iterable[tuple[str, Any]], voxels: Callable[[int], Shares[np.ndarray]], path: Path
) -> Shares[None]:
    """Write volumes of one geometry as ``.seq.nrrd``.

    Args:
        like: ``vtkMRMLSequenceNode`` whose name, index and attributes the file has; its items do not matter.
        frames: the index value of each frame, and a volume node that says where it lies and what attributes it has.
        voxels: returns those of a frame by its number, of equal shape and type.
        path: ends in ``.seq.nrrd``.

    Raises:
        SemiSegError: the volumes lie in different places.
        OSError: the disk is full.
    """
    storage = slicer.vtkMRMLVolumeSequenceStorageNode()
    first = yield from voxels(0)
    image = _small_image(first)
    count, heads, part = 0, [], _like(like)
    beside = _like(like)  # the first frame of all, and that of each part
    for value, frame in frames:
        if part.GetNumberOfDataNodes() == _FRAMES_AT_ONCE:
            heads.append(_sequence_head(storage, part, beside, like, path, first))
            part = _like(like)
            yield None
        small = _small_volume(frame, image)
        part.SetDataNodeAtValue(small, value)
        if part.GetNumberOfDataNodes() == 1:
            beside.SetDataNodeAtValue(small, value)
        count += 1
        yield None
    heads.append(_sequence_head(storage, part, beside, like, path, first))
    yield None
    with path.open("wb") as file:
        packer = _Packer(file, _joined(heads, count), b"")
        for number in range(count):
            frame_voxels = yield from voxels(number)
            if frame_voxels.shape != first.shape or frame_voxels.dtype != first.dtype:
                raise _in_different_places(like)
            for _ in packer.add(frame_voxels):
                yield number / count
        packer.end()


def write_segmentation_in_pieces(segmentation: Any, path: Path) -> Shares[None]:
    """Write a segmentation with its names, colours, terminology and tags as ``.seg.nrrd``, on the grid of its image.

    Args:
        segmentation: ``vtkMRMLSegmentationNode`` of label maps.
        path: ends in ``.seg.nrrd``.

    Raises:
        OSError: the disk is full.
    """
    content = segmentation.GetSegmentation()
    reference = slicer.vtkOrientedImageData()
    name = slicer.vtkSegmentationConverter.GetReferenceImageGeometryParameterName()
    slicer.vtkSegmentationConverter.DeserializeImageGeometry(content.GetConversionParameter(name), reference, False)
    layers = _layers(segmentation)
    if not layers or not all(_lies_within(image, reference) for image in layers):
        # Drawn on another grid than that of the image, or beyond its edge: Slicer finds one that holds all of it.
        storage = slicer.vtkMRMLSegmentationStorageNode()
        storage.SetFileName(str(path))
        if not storage.WriteData(_copied(segmentation, layers)):
            raise OSError(f"{path} could not be written")
        return
    arrays = [_values(image) for image in layers]
    dtype = np.result_type(*(array.dtype for array in arrays))
    fields, keys = _segmentation_head(segmentation, reference, layers, dtype, path)
    extent = reference.GetExtent()
    x0, x1, y0, y1, z0, z1 = extent
    values = {
        "Segmentation_ConversionParameters": content.SerializeAllConversionParameters(),
        "Segmentation_ContainedRepresentationNames": "".join(
            f"{name}|" for name in _REPRESENTATIONS if content.ContainsRepresentation(name)
        ),
    }
    for line in keys:
        name, _, segment_id = line.partition(":=")
        if found := _SEGMENT_ID.fullmatch(name):
            image = content.GetSegment(segment_id).GetRepresentation(LABELMAP)
            drawn = image in layers
            values[f"{found[1]}Layer"] = str(layers.index(image) if drawn else 0)
            # Slicer counts from the first voxel of the file, wherever the image begins.
            inside = zip(image.GetExtent() if drawn else extent, (x0, x0, y0, y0, z0, z0), strict=True)
            values[f"{found[1]}Extent"] = " ".join(str(at - first) for at, first in inside)
    shape = (z1 - z0 + 1, y1 - y0 + 1, x1 - x0 + 1)
    head = _nrrd_head(fields, keys, shape[::-1], values)

    def planes() -> Iterator[np.ndarray]:
        for part in slabs(np.broadcast_to(np.zeros(1, dtype), (*shape, len(layers)))):
            stacked = np.zeros((part.stop - part.start, *shape[1:], len(layers)), dtype)
            for at, layer in enumerate(layers):
                box = layer.GetExtent()
                low, high = max(part.start, box[4] - z0), min(part.stop, box[5] - z0 + 1)
                if low < high:
                    stacked[
                        low - part.start : high - part.start,
                        box[2] - y0 : box[3] - y0 + 1,
                        box[0] - x0 : box[1] - x0 + 1,
                        at,
                    ] = arrays[at][low + z0 - box[4] : high + z0 - box[4]]
            yield stacked

    yield from _pack_in_pieces(path, head, b"", planes(), int(np.prod(shape)) * len(layers) * dtype.itemsize)


def copy_attributes(source: Any, target: Any) -> None:
    """Give a node the attributes of another one, beside its own."""
    for name in source.GetAttributeNames():
        target.SetAttribute(name, source.GetAttribute(name))


def _in_different_places(sequence: Any) -> SemiSegError:
    """Return the error that the frames of a cine do not lie on one grid."""
    return SemiSegError(
        "different-places",
        f'The frames of "{sequence.GetName()}" lie in different places, and a .seq.nrrd file can hold one only',
        "Save the segmentations as .seq.mrb, or everything with the scene",
        "export",
    )


class _Packer:
    """Writes a header and packed voxels below it."""

    def __init__(self, file: BinaryIO, plain: bytes, packed: bytes) -> None:
        self._file, self._packer = file, zlib.compressobj(level=_LEVEL, wbits=31)
        file.write(plain)
        file.write(self._packer.compress(packed))

    def add(self, voxels: np.ndarray) -> Iterator[int]:
        """Write voxels, and yield how many bytes that were after each piece."""
        data = np.ascontiguousarray(voxels).data.cast("B")
        for first in range(0, len(data), _PACKED_BYTES):
            part = data[first : first + _PACKED_BYTES]
            self._file.write(self._packer.compress(part))
            yield len(part)

    def end(self) -> None:
        self._file.write(self._packer.flush())


def _pack_in_pieces(path: Path, plain: bytes, packed: bytes, parts: Iterable[np.ndarray], total: int) -> Shares[None]:
    done = 0
    with path.open("wb") as file:
        packer = _Packer(file, plain, packed)
        for part in parts:
            for count in packer.add(part):
                done += count
                yield done / total
        packer.end()


def _small_file(storage: Any, node: Any, beside: Path, ending: str) -> bytes:
    """Let Slicer write a node of a few voxels, not packed, and return the file's content."""
    path = beside.with_name(f"small{ending}")
    storage.SetUseCompression(0)
    storage.SetFileName(str(path))
    if not storage.WriteData(node):
        raise OSError(f"{path} could not be written")
    content = path.read_bytes()
    path.unlink()
    return content


def _head_lines(nrrd: bytes) -> tuple[list[str], list[str]]:
    """Return the fields and the keys of a NRRD file, each a line of its header."""
    lines = nrrd.partition(b"\n\n")[0].decode().split("\n")
    return [line for line in lines if ":=" not in line], [line for line in lines if ":=" in line]


def _nrrd_head(
    fields: list[str], keys: list[str], sizes: Iterable[int], values: Mapping[str, str] | None = None
) -> bytes:
    """Return the header of a small NRRD file as that of a large one, packed.

    Args:
        fields: the lines that say how the voxels lie there.
        keys: the lines that say more.
        sizes: voxels along x, y and z.
        values: of some keys; they take the place of theirs.
    """
    lines, named = list(fields), {line.partition(": ")[0]: number for number, line in enumerate(fields)}
    kinds = lines[named["kinds"]].split()[1:]
    counts = lines[named["sizes"]].split()[1:]
    for axis, size in zip((axis for axis, kind in enumerate(kinds) if kind == "domain"), sizes, strict=True):
        counts[axis] = str(size)
    lines[named["sizes"]] = f"sizes: {' '.join(counts)}"
    lines[named["encoding"]] = "encoding: gzip"
    for line in keys:
        name = line.partition(":=")[0]
        lines.append(f"{name}:={values[name]}" if values is not None and name in values else line)
    return "\n".join([*lines, "", ""]).encode()


def _sequence_head(storage: Any, part: Any, beside: Any, like: Any, path: Path, voxels: np.ndarray) -> bytes:
    """Return the header of a part of a sequence.

    Raises:
        SemiSegError: its volumes lie in different places, or elsewhere than the first of all.
    """
    if not all(map(storage.CanWriteFromReferenceNode, (part, beside))):  # cine MRI: each frame may have its own plane
        raise _in_different_places(like)
    return _nrrd_head(*_head_lines(_small_file(storage, part, path, ".seq.nrrd")), voxels.shape[2::-1])


def _joined(heads: Sequence[bytes], count: int) -> bytes:
    """Return the headers of the parts of a sequence as that of all of it."""
    lines = heads[0].decode().split("\n")[:-2]
    sizes = next(number for number, line in enumerate(lines) if line.startswith("sizes: "))
    lines[sizes] = f"{lines[sizes].rpartition(' ')[0]} {count}"
    order = next(number for number, line in enumerate(lines) if _ORDER.match(line))
    for at, head in enumerate(heads[1:], start=1):
        for line in head.decode().split("\n"):
            if found := _ORDER.match(line):
                lines[order] += f" {line[found.end() :]}"
            elif found := _ITEM.match(line):
                lines.append(f"{found[1]}{at * _FRAMES_AT_ONCE + int(found[2]):04}{line[found.end() :]}")
    return "\n".join([*lines, "", ""]).encode()


def _small_voxels(voxels: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(voxels[:_SMALL, :_SMALL, :_SMALL])


def _small_image(voxels: np.ndarray) -> Any:
    """Return ``vtkImageData`` with the first voxels of an array ``(Z, Y, X)``, with a last axis or without."""
    part = _small_voxels(voxels)
    image = vtk.vtkImageData()
    image.SetDimensions(*part.shape[2::-1])
    image.AllocateScalars(get_vtk_array_type(part.dtype), part.shape[3] if part.ndim == 4 else 1)
    vtk_to_numpy(image.GetPointData().GetScalars()).reshape(part.shape)[:] = part
    return image


def _like(sequence: Any) -> Any:
    """Return a sequence without items, outside the scene."""
    node = slicer.vtkMRMLSequenceNode()
    node.SetName(sequence.GetName())
    copy_attributes(sequence, node)
    copy_index(sequence, node)
    return node


def _small_volume(volume: Any, image: Any) -> Any:
    node = type(volume)()
    node.SetName(volume.GetName())
    copy_attributes(volume, node)
    copy_geometry(volume, node)
    node.SetAndObserveImageData(image)
    return node


def _layers(segmentation: Any) -> list[Any]:
    """Return the label maps that segments lie in, each once; without those that hold nothing."""
    found = [segment.GetRepresentation(LABELMAP) for _, segment in marks.segments_of(segmentation)]
    return list(dict.fromkeys(image for image in found if image is not None and not image.IsEmpty()))


def _values(image: Any) -> np.ndarray:
    x, y, z = image.GetDimensions()
    values: np.ndarray = vtk_to_numpy(image.GetPointData().GetScalars()).reshape(z, y, x)
    return values


def _lies_within(image: Any, reference: Any) -> bool:
    """Return whether a label map lies on a grid, voxel upon voxel, and not beyond its edges."""
    own, outer = vtk.vtkMatrix4x4(), vtk.vtkMatrix4x4()
    image.GetImageToWorldMatrix(own)
    reference.GetImageToWorldMatrix(outer)
    apart = max(abs(own.GetElement(i, j) - outer.GetElement(i, j)) for i in range(3) for j in range(4))
    return apart < _SAME_MM and _extent_within(image, reference) == tuple(image.GetExtent())


def _extent_within(image: Any, reference: Any) -> tuple[int, ...]:
    own, outer = image.GetExtent(), reference.GetExtent()
    return tuple((min if i % 2 else max)(own[i], outer[i]) for i in range(6))


def _segmentation_head(
    segmentation: Any, reference: Any, layers: list[Any], dtype: np.dtype, path: Path
) -> tuple[list[str], list[str]]:
    """Let Slicer write the same segments with a few voxels, and return the fields and the keys of the file's header.

    All of them lie in one label map there: what Slicer finds in several it would put together as their few voxels
    allow, and number anew. Where there are several, the axis that they lie along comes from a file of its own.
    """
    storage = slicer.vtkMRMLSegmentationStorageNode()
    image = _small_layer(reference, dtype)
    node = _copied(segmentation, layers, image)
    fields, keys = _head_lines(_small_file(storage, node, path, ".seg.nrrd"))
    if len(layers) > 1:
        apart = slicer.vtkMRMLSegmentationNode()
        _set_grid(apart, image)
        for number in range(len(layers)):
            segment = slicer.vtkSegment()
            segment.SetName(str(number))
            segment.AddRepresentation(LABELMAP, _small_layer(reference, dtype))
            apart.GetSegmentation().AddSegment(segment, str(number))
        fields, _ = _head_lines(_small_file(storage, apart, path, ".seg.nrrd"))
    return fields, keys


def _small_layer(reference: Any, dtype: np.dtype) -> Any:
    """Return a label map of the first voxels of a grid, all of them set."""
    extent = list(reference.GetExtent())
    for axis in range(3):
        extent[2 * axis + 1] = min(extent[2 * axis + 1], extent[2 * axis] + _SMALL - 1)
    image = slicer.vtkOrientedImageData()
    image.SetExtent(extent)
    matrix = vtk.vtkMatrix4x4()
    reference.GetImageToWorldMatrix(matrix)
    image.SetGeometryFromImageToWorldMatrix(matrix)
    image.AllocateScalars(get_vtk_array_type(dtype), 1)
    image.GetPointData().GetScalars().Fill(1)
    return image


def _copied(segmentation: Any, layers: list[Any], image: Any = None) -> Any:
    """Return a segmentation node with the same segments, for Slicer to write: it changes what it writes.

    Segments in which nothing is drawn are among those of the first label map: where such a one comes first, Slicer
    brings all others over to a grid that it makes up for it.

    Args:
        segmentation: ``vtkMRMLSegmentationNode``.
        layers: its label maps that hold something, `_layers`.
        image: a label map in which all of them are put; by default each is in its own.
    """
    content = segmentation.GetSegmentation()
    node = slicer.vtkMRMLSegmentationNode()
    if image is None:
        node.GetSegmentation().SetSourceRepresentationName(content.GetSourceRepresentationName())
        node.GetSegmentation().DeserializeConversionParameters(content.SerializeAllConversionParameters())
    else:
        _set_grid(node, image)
    segments = list(marks.segments_of(segmentation))
    first = layers[0] if layers else None
    taken = [segment.GetLabelValue() for _, segment in segments if segment.GetRepresentation(LABELMAP) is first]
    for segment_id, segment in segments:
        copy = slicer.vtkSegment()
        copy.DeepCopyMetadata(segment)
        copy.SetNameAutoGenerated(segment.GetNameAutoGenerated())
        copy.SetColorAutoGenerated(segment.GetColorAutoGenerated())
        own = segment.GetRepresentation(LABELMAP)
        if own not in layers and layers:
            taken.append(max(taken) + 1)
            copy.SetLabelValue(taken[-1])
            own = first
        for name in _REPRESENTATIONS[1:] if image is None else ():
            if (other := segment.GetRepresentation(name)) is not None:
                copy.AddRepresentation(name, other)
        if own is not None:
            copy.AddRepresentation(LABELMAP, own if image is None else image)
        node.GetSegmentation().AddSegment(copy, segment_id)
    return node


def _set_grid(segmentation: Any, image: Any) -> None:
    """Let a segmentation lie on the grid of a label map."""
    content, converter = segmentation.GetSegmentation(), slicer.vtkSegmentationConverter
    content.SetSourceRepresentationName(LABELMAP)
    name = converter.GetReferenceImageGeometryParameterName()
    content.SetConversionParameter(name, converter.SerializeImageGeometry(image))
