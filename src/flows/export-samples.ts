/** Rows as an HDF5 file that opens without us. */
import type { CodecPool } from '../storage/codec-pool.ts';
import type { DataRoot } from '../storage/data-root.ts';
import { exportHdf5, type ExportedFile, type Hdf5Layout } from '../storage/hdf5-export.ts';
import type { RowsTask } from './print-samples.ts';

/**
 * Writes the rows of a read into a file: read and converted in a codec thread, written in another one.
 * @throws storage-full, unavailable, and what reading the rows throws; an abort
 */
export function exportRows(
  { root, codec }: { root: DataRoot; codec: CodecPool },
  task: RowsTask,
  signal: AbortSignal,
): Promise<ExportedFile> {
  return exportHdf5(root, layoutOf(task), codec.stream('blocks', task), signal);
}

/** The attributes are those of a series in a shard, where they say something of the rows. */
function layoutOf({ shape }: RowsTask): Hdf5Layout {
  const { name, project, unit, scale, offset, missingValue, rate, timeReference, tags, channels } = shape.description;
  return {
    seriesId: shape.seriesId,
    attributes: {
      name,
      project,
      unit: unit ?? '',
      kind: shape.kind,
      time_reference: timeReference,
      channels: JSON.stringify(channels),
      tags: JSON.stringify(tags),
      scale,
      offset,
      ...(rate !== null && { rate }),
    },
    missingValue,
    dtype: shape.dtype,
    channels: shape.channelLabels.length,
    rows: shape.totalRows,
    regular: shape.kind === 'regular',
  };
}
