/** What is where in a shard, hot or sealed: attributes and datasets as FORMAT.md draws them. */
import type { Dataset, Group } from 'h5wasm/node';
import { DTYPES, type Dtype } from '../core/dtype.ts';
import type { RowShape } from '../core/missing-value.ts';
import type { Hdf5File } from './hdf5-session.ts';
import type { SeriesDescription } from './shard-commit.ts';

export const FORMAT_VERSION = 1;
export const SEGMENT_CHUNK_ROWS = 64;

/** h5wasm's names are Python struct codes. */
export const HDF5_DTYPE: Record<Dtype, string> = {
  int8: '<b',
  int16: '<h',
  int32: '<i',
  int64: '<q',
  uint8: '<B',
  uint16: '<H',
  uint32: '<I',
  uint64: '<Q',
  float32: '<f',
  float64: '<d',
};

/** A filter of HDF5 by its registered number, with its parameters. */
export interface Hdf5Filter {
  readonly id: number;
  readonly options: readonly number[];
}

/** Root attributes of a new shard, and the group that its series go into. */
export function describeShard(file: Hdf5File, shardId: string, laneId: string): Group {
  file.create_attribute('varve_format', Int32Array.of(FORMAT_VERSION), [], '<i');
  file.create_attribute('shard', shardId);
  file.create_attribute('lane', laneId);
  return file.create_group('series');
}

/**
 * An empty dataset of rows.
 * @param rowShape of one row: [] for a vector
 */
export function createDataset(
  group: Group,
  name: string,
  dtype: Dtype,
  rowShape: number[],
  chunkRows: number,
  filter?: Hdf5Filter,
): void {
  group.create_dataset({
    name,
    data: new DTYPES[dtype].array(0),
    dtype: HDF5_DTYPE[dtype],
    shape: [0, ...rowShape],
    maxshape: [null, ...rowShape],
    chunks: [chunkRows, ...rowShape],
    ...(filter && { compression: filter.id, compression_opts: [...filter.options] }),
  });
}

/** Attributes of a series' group. @param firstRow row of the series that row 0 of its datasets is */
export function describeSeries(group: Group, d: SeriesDescription, irregular: boolean, firstRow: number): void {
  group.create_attribute('first_row', BigInt64Array.of(BigInt(firstRow)), [], '<q');
  for (const [name, value] of [
    ['name', d.name],
    ['project', d.project],
    ['unit', d.unit ?? ''],
    ['kind', irregular ? 'irregular' : 'regular'],
    ['time_reference', d.timeReference],
    ['duplicates', d.duplicates],
    ['codec', d.codec],
    ['channels', d.channels],
    ['tags', d.tags],
  ] as const) {
    group.create_attribute(name, value);
  }
  group.create_attribute('scale', Float64Array.of(d.scale), [], '<d');
  group.create_attribute('offset', Float64Array.of(d.offset), [], '<d');
  if (d.resolution !== null) group.create_attribute('resolution', Float64Array.of(d.resolution), [], '<d');
  describeMissing(group, d);
  if (d.continuity !== null) group.create_attribute('continuity', d.continuity);
  if (d.timeZone !== null) group.create_attribute('time_zone', d.timeZone);
  if (d.rate !== null) group.create_attribute('rate', d.rate);
}

/** The attribute `missing_value`, of the dtype; none where there is no such value. @param name another one for it */
export function describeMissing(
  object: Group | Dataset,
  { dtype, missingValue }: Omit<RowShape, 'channels'>,
  name = 'missing_value',
): void {
  if (missingValue === null) return;
  const one = new DTYPES[dtype].array(1);
  one[0] = missingValue;
  object.create_attribute(name, one, [], HDF5_DTYPE[dtype]);
}
