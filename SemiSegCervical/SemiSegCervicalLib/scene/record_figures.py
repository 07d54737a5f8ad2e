"""The figures of a result: what its two tables hold, of its segments and of each of its frames."""

from __future__ import annotations

import json
import math
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from ..figures import FrameFigures, SegmentFigures
from . import marks
from .cine import index_values, is_sequence
from .classes import SegmentClass
from .records import COMPLETE, Record
from .tables import add_column, cell, column_values, insert_row, set_row, text_of

Kind = Literal["volume", "area"]
SEGMENT, VOXELS, UNCERTAINTY, DICE = "Segment", "Voxels", "Mean uncertainty (%)", "Predicted Dice"
SIZES: dict[Kind, str] = {"volume": "Volume (mm3)", "area": "Area (mm2)"}
FRAME, INDEX_VALUE = "Frame", "Index value"
ATYPICALITY = "Atypicality (beyond 1 unlike the training)"
_UNITS: dict[Kind, str] = {"volume": "mm3", "area": "mm2"}


@dataclass(frozen=True)
class Frame:
    """The figures of one computed frame.

    Attributes:
        number: of the frame in the source as it is now, from 0.
        index_value: its index value in the source; for a stack the slice number as text.
        mean_uncertainty: in percent.
        predicted_dice: mean over its segments, None without any.
        atypicality: beyond 1 it looks unlike the training images; None where the model cannot tell.
    """

    number: int
    index_value: str
    mean_uncertainty: float
    predicted_dice: float | None
    atypicality: float | None = None


def set_segments(
    record: Record, figures: Sequence[SegmentFigures], kind: Kind | None, atypicality: float | None = None
) -> None:
    """Write the table of segments.

    Args:
        record: the result; nothing happens where its table is gone.
        figures: one of each segment.
        kind: what their size is; None where the source is not calibrated, and then the table has no sizes.
        atypicality: of a single image, as `FrameFigures` explains it; the same in every row, so that it goes with them
            into files.
    """
    if not record.exists:
        return
    table = record.table
    was_modifying = table.StartModify()
    table.RemoveAllColumns()
    columns: list[tuple[str, type]] = [(SEGMENT, str), (VOXELS, int)]
    columns += [(SIZES[kind], float)] if kind is not None else []
    columns += [(UNCERTAINTY, float), (DICE, float)]
    columns += [(ATYPICALITY, float)] if atypicality is not None else []
    for title, values in columns:
        add_column(table, title, values)
    for row, figure in enumerate(figures):
        insert_row(table, row)
        set_row(
            table,
            row,
            {
                SEGMENT: figure.name,
                VOXELS: figure.voxels,
                UNCERTAINTY: _percent(figure.mean_uncertainty),
                DICE: figure.predicted_dice,
                ATYPICALITY: atypicality,
                **({SIZES[kind]: figure.size} if kind is not None else {}),
            },
        )
    table.GetTable().Modified()
    table.EndModify(was_modifying)


def add_frames(record: Record, frames: Iterable[FrameFigures]) -> None:
    """Add the figures of finished frames; the table tells its observers once.

    Args:
        record: a result with frames; nothing happens where its table or its source is gone.
        frames: a few; their ``index`` is the number in the source, from 0. They may come in any order, rows are
            kept in that of the source; one that is there already is replaced.
    """
    table, source = record.frames_table, record.source
    if table is None or source is None:
        return
    was_modifying = table.StartModify()
    numbers = column_values(table, FRAME)
    for frame in frames:
        if table.GetNumberOfColumns() == 0:
            unit = next((figure.size_unit for figure in frame.segments if figure.size_unit), None)
            _add_frame_columns(table, record.classes, unit, frame.atypicality is not None)
        row = bisect_left(numbers, frame.index + 1)
        if row == len(numbers) or numbers[row] != frame.index + 1:
            insert_row(table, row)
            numbers.insert(row, frame.index + 1)
        set_row(table, row, _frame_row(source, frame))
    table.GetTable().Modified()
    table.EndModify(was_modifying)


def finish_record(record: Record, run: Mapping[str, Any], complete: bool = True) -> None:
    """Say how the run ended; for frames the table of segments becomes their mean over the frames that show them.

    Args:
        record: the result; nothing happens where its table is gone.
        run: what `Record.run` says from now on beside what it said: ``device``, ``backend``, ``precision``,
            ``seconds``, ``notes``.
        complete: whether all that was asked for is there.
    """
    if not record.exists:
        return
    record.table.SetAttribute(marks.RUN, json.dumps({**record.run, **run, COMPLETE: complete}))
    _summarise(record)


def set_sizes(record: Record, kind: Kind | None, size_of: Callable[[int], float]) -> None:
    """Give the figures other sizes, or none any more: something else is known of the pixel size now.

    Args:
        record: the result; nothing happens where its table is gone.
        kind: what the sizes are; None for none.
        size_of: returns the size of a voxel, or of a pixel of a frame, by the number of the frame; in mm3 or mm2.
    """
    if not record.exists:
        return
    if record.frames_table is not None:
        record.table.RemoveAllColumns()  # of their mean over the frames, which is made anew
        _set_frame_sizes(record, record.frames_table, _UNITS[kind] if kind is not None else None, size_of)
        _summarise(record)
        return
    figures = segments_of(record)
    if kind is not None:
        figures = [replace(f, size=f.voxels * size_of(0), size_unit=_UNITS[kind]) for f in figures]
    set_segments(record, figures, kind, atypicality_of(record))


def _summarise(record: Record) -> None:
    """Make the table of segments of a result of frames their mean over the frames that show them."""
    table = record.frames_table
    rows = table.GetNumberOfRows() if table is not None else 0
    if figures := [_row_segments(record, table, row) for row in range(rows)]:
        kind: Kind | None = next(
            (k for k, unit in _UNITS.items() for row in figures for f in row if f.size_unit == unit), None
        )
        set_segments(record, [_mean([row[i] for row in figures]) for i in range(len(record.classes))], kind)


def segments_of(record: Record) -> list[SegmentFigures]:
    """Read the table of segments; uncertainty in [0, 1] as it was set."""
    if not record.exists or record.table.GetNumberOfColumns() == 0:
        return []
    table = record.table
    kind = next((k for k, title in SIZES.items() if table.GetTable().GetColumnByName(title) is not None), None)
    columns = [column_values(table, title) for title in (SEGMENT, VOXELS, UNCERTAINTY, DICE)]
    sizes = column_values(table, SIZES[kind]) if kind is not None else [None] * len(columns[0])
    known = {text_of(entry.name): (entry.name, entry.value) for entry in record.classes}
    found = []
    for row, (title, voxels, doubt, dice, size) in enumerate(zip(*columns, sizes, strict=True)):
        name, value = known.get(title, (title, row + 1))
        found.append(SegmentFigures(name, value, voxels, *_size(size, kind), _share(doubt), dice))
    return found


def atypicality_of(record: Record) -> float | None:
    """Read how unlike the model's training images a single image looks; None where that is not known."""
    return next(iter(column_values(record.table, ATYPICALITY)), None) if record.exists else None


def frame_numbers(record: Record) -> list[int | None]:
    """Return which frame of its source, from 0, each row of a result's table of frames is about.

    What the table says are the numbers of when it was made. Since then frames may have been removed or added: what
    stays with a frame is its index value. Of a frame that is not there any more it is None.
    """
    table, source = record.frames_table, record.source
    if table is None:
        return []
    numbers = [number - 1 for number in column_values(table, FRAME)]
    if not is_sequence(source):
        return list(numbers)
    values, now = column_values(table, INDEX_VALUE), index_values(source)
    if [now[number] for number in numbers if number < len(now)] == values:
        return list(numbers)
    places = {text_of(value): number for number, value in enumerate(now)}
    return [places.get(value) for value in values]


def frames_of(record: Record) -> list[Frame]:
    """Read the figures of the frames that are computed and still there, in the source's order."""
    table = record.frames_table
    if table is None or table.GetNumberOfColumns() == 0:
        return []
    columns = [column_values(table, title) for title in (INDEX_VALUE, UNCERTAINTY, DICE)]
    # A model that does not know its images has no such column.
    columns.append(column_values(table, ATYPICALITY) or [None] * len(columns[0]))
    found = [
        Frame(number, index_value, math.nan if doubt is None else doubt, dice, atypicality)
        for number, index_value, doubt, dice, atypicality in zip(frame_numbers(record), *columns, strict=True)
        if number is not None
    ]
    return sorted(found, key=lambda frame: frame.number)


def frame_segments(record: Record, number: int) -> list[SegmentFigures]:
    """Read the figures of the segments in one frame; none where it is not computed.

    Args:
        record: a result with frames.
        number: of the frame in the source, from 0.
    """
    table, numbers = record.frames_table, frame_numbers(record)
    return _row_segments(record, table, numbers.index(number)) if number in numbers else []


def _row_segments(record: Record, table: Any, row: int) -> list[SegmentFigures]:
    """Read the figures of the segments in a row of the table of frames."""
    unit = size_unit(record)
    found = []
    for entry in record.classes:
        titles = [_title(entry.name, what) for what in ("pixels", "uncertainty, %", "predicted Dice", unit)]
        voxels, doubt, dice, size = (cell(table, row, title) for title in titles)
        found.append(SegmentFigures(entry.name, entry.value, voxels, size, unit, _share(doubt), dice))
    return found


def size_unit(record: Record) -> str | None:
    """Return the unit of the sizes of a result, mm2 or mm3; None where there are none."""
    for table in (record.table if record.exists else None, record.frames_table):
        titles = [table.GetColumnName(i) for i in range(table.GetNumberOfColumns())] if table is not None else []
        for unit in _UNITS.values():
            if any(title.endswith(f"({unit})") for title in titles):
                return unit
    return None


def is_flat(record: Record) -> bool:
    """Return whether a result is of a picture or of frames, also where its image was deleted."""
    if record.frames_table is not None:
        return True
    for volume in (record.source, record.uncertainty):
        image = volume.GetImageData() if volume is not None and volume.IsA("vtkMRMLVolumeNode") else None
        if image is not None:
            return bool(image.GetDimensions()[2] == 1)
    return size_unit(record) == "mm2"


def _add_frame_columns(table: Any, classes: Sequence[SegmentClass], unit: str | None, atypical: bool) -> None:
    columns: list[tuple[str, type]] = [(FRAME, int), (INDEX_VALUE, str), (UNCERTAINTY, float), (DICE, float)]
    for entry in classes:
        columns.append((_title(entry.name, "pixels"), int))
        columns += [(_title(entry.name, unit), float)] if unit else []
        columns += [(_title(entry.name, what), float) for what in ("uncertainty, %", "predicted Dice")]
    columns += [(ATYPICALITY, float)] if atypical else []
    for title, values in columns:
        add_column(table, title, values)


def _set_frame_sizes(record: Record, table: Any, unit: str | None, size_of: Callable[[int], float]) -> None:
    if table.GetNumberOfColumns() == 0:
        return
    titles = [table.GetColumnName(i) for i in range(table.GetNumberOfColumns())]
    columns = {title: column_values(table, title) for title in titles}
    numbers = frame_numbers(record)
    was_modifying = table.StartModify()
    table.RemoveAllColumns()
    _add_frame_columns(table, record.classes, unit, ATYPICALITY in titles)
    for row, number in enumerate(numbers):
        values = {title: column[row] for title, column in columns.items()}
        for entry in record.classes if unit else ():
            voxels = values[_title(entry.name, "pixels")]
            values[_title(entry.name, unit)] = None if number is None else voxels * size_of(number)
        insert_row(table, row)
        set_row(table, row, values)
    table.GetTable().Modified()
    table.EndModify(was_modifying)


def _frame_row(source: Any, frame: FrameFigures) -> dict[str, Any]:
    index_value = source.GetNthIndexValue(frame.index) if is_sequence(source) else str(frame.index)
    row: dict[str, Any] = {
        FRAME: frame.index + 1,
        INDEX_VALUE: index_value,
        UNCERTAINTY: _percent(frame.mean_uncertainty),
        DICE: frame.predicted_dice,
        ATYPICALITY: frame.atypicality,
    }
    for figure in frame.segments:
        row[_title(figure.name, "pixels")] = figure.voxels
        row[_title(figure.name, "uncertainty, %")] = _percent(figure.mean_uncertainty)
        row[_title(figure.name, "predicted Dice")] = figure.predicted_dice
        # Also where the table has sizes and the frame has none: a new row is full of zeros.
        row |= {
            _title(figure.name, unit): figure.size if unit == figure.size_unit else None for unit in _UNITS.values()
        }
    return row


def _mean(figures: Sequence[SegmentFigures]) -> SegmentFigures:
    """Return the mean of one segment over the frames that show it; uncertainty weighs each pixel alike."""
    shown = [figure for figure in figures if figure.voxels]
    if not shown:
        return replace(figures[0], voxels=0, mean_uncertainty=None, predicted_dice=None)
    known = [(f.mean_uncertainty, f.voxels) for f in shown if f.mean_uncertainty is not None]
    sizes = [f.size for f in shown if f.size is not None]
    dice = [f.predicted_dice for f in shown if f.predicted_dice is not None]
    return SegmentFigures(
        shown[0].name,
        shown[0].value,
        round(sum(f.voxels for f in shown) / len(shown)),
        sum(sizes) / len(sizes) if sizes else None,
        shown[0].size_unit,
        sum(value * weight for value, weight in known) / sum(weight for _, weight in known) if known else None,
        sum(dice) / len(dice) if dice else None,
    )


def _title(name: str, what: str | None) -> str:
    return f"{text_of(name)} ({what})"


def _percent(share: float | None) -> float | None:
    return None if share is None else 100 * share


def _share(percent: float | None) -> float | None:
    return None if percent is None else percent / 100


def _size(size: float | None, kind: Kind | None) -> tuple[float | None, str | None]:
    return (size, _UNITS[kind]) if kind is not None else (None, None)
