/** Rows as an HDF5 file that opens without us. */
import { isDeepStrictEqual } from 'node:util';
import type { OutDescription } from '../../core/signal/batch.ts';
import { calibrationOf } from '../../core/signal/calibration.ts';
import { isBigDtype } from '../../core/numbers/dtype.ts';
import type { CodecPool } from '../../storage/threads/codec-pool.ts';
import type { DataRoot } from '../../storage/folder/data-root.ts';
import { exportHdf5, type ExportedFile, type Hdf5Layout } from '../../storage/export/hdf5-export.ts';
import type { RowsTask, Section } from './print-samples.ts';

/**
 * Writes the rows of a read into a file: read and converted in a codec thread, written in another one.
 * @param later sections behind those of the task
 * @throws storage-full, unavailable, and what reading the rows throws; an abort
 */
export function exportRows(
  { root, codec }: { root: DataRoot; codec: CodecPool },
  task: RowsTask,
  signal: AbortSignal,
  later: AsyncIterable<Section> | null = null,
): Promise<ExportedFile> {
  const blocks = later ? codec.pipe('blocks', task, later) : codec.stream('blocks', task);
  return exportHdf5(root, layoutOf(task), blocks, signal);
}

/** Attributes of the group are those of a series in a shard, where they say something of the rows. */
function layoutOf({ shape }: RowsTask): Hdf5Layout {
  const { description, kind } = shape;
  const { name, project, unit, scale, offset, missingValue, rate, timeReference, tags, channels } = description;
  const packing = packingOf(description);
  return {
    groups: groupsOf(name),
    attributes: {
      series: shape.seriesId,
      name,
      project,
      unit: unit ?? '',
      kind,
      time_reference: timeReference,
      channels: JSON.stringify(channels),
      tags: JSON.stringify(tags),
      scale,
      offset,
      ...(rate !== null && { rate }),
    },
    valueAttributes: { long_name: name, ...packing, ...(packing && commonUnit(description)) },
    timeAttributes: {
      standard_name: 'time',
      ...(timeReference === 'utc'
        ? { units: 'nanoseconds since 1970-01-01', calendar: 'proleptic_gregorian' }
        : { units: 'nanoseconds' }),
    },
    // Readers make floats of what has a fill value. So 64-bit integers have one only if they are to be scaled anyhow.
    fillValue: isBigDtype(shape.dtype) && packing?.scale_factor === undefined ? null : missingValue,
    channelLabels: shape.channelLabels,
    missingValue,
    dtype: shape.dtype,
    channels: shape.channelLabels.length,
    rows: shape.totalRows,
    regular: kind === 'regular',
  };
}

/**
 * The groups in which HDF5 looks for a path. HDF5 skips empty parts, and a point stands for the group itself. So a name
 * finds its rows as it is.
 */
function groupsOf(name: string): string[] {
  return name.split('/').filter((part) => part !== '' && part !== '.');
}

/**
 * What makes physical values of the stored ones, in the words of CF; empty where they are physical already. CF has one
 * factor and one offset for all channels, and multiplies before it adds. The result is null where that would not give
 * the very numbers that `physical` does. It has both or none, as readers may compute in float32 where only one is
 * there.
 * @see https://cfconventions.org/cf-conventions/cf-conventions.html#packed-data
 */
function packingOf({ scale, offset, channels }: OutDescription): { scale_factor?: number; add_offset?: number } | null {
  const [map, ...others] = channels.map((channel) => calibrationOf({ scale, offset }, channel));
  if (!others.every((other) => isDeepStrictEqual(other, map))) return null;
  if (map.form === 'identity') return {};
  return map.form === 'linear' ? { scale_factor: map.slope, add_offset: map.intercept } : null;
}

/** The unit of all channels, if they have the same one. */
function commonUnit({ unit, channels }: OutDescription): { units?: string } {
  const [units, ...others] = new Set(channels.map((channel) => channel.unit ?? unit));
  return units && others.length === 0 ? { units } : {};
}
