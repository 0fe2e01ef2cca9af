/** What is where in a shard: attributes and datasets as FORMAT.md draws them. */
import type { Dataset, Group } from 'h5wasm/node';
import { bytesOf, DTYPES, type Dtype, type SampleArray } from '../../core/numbers/dtype.ts';
import type { RowShape } from '../../core/numbers/missing-value.ts';
import { recordText, type SeriesRecord } from '../../core/upkeep/series-record.ts';
import type { Hdf5File } from '../hdf5/hdf5-session.ts';

export const FORMAT_VERSION = 2;
/** The attribute of a series' group that has its record. */
export const RECORD_ATTRIBUTE = 'varve';

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

/** A shard that is to be made. */
export interface NewShard {
  readonly shardId: string;
  readonly laneId: string;
  /** Path relative to the data root. */
  readonly path: string;
  /** The commit as of which the shard tells what was so. */
  readonly commit: bigint;
  /** Commit of the oldest flush whose rows it has. */
  readonly firstCommit: bigint;
  /** 0: made by a flush; 1: by compaction. */
  readonly level: 0 | 1;
}

/** Root attributes of a new shard, and the group that its series go into. */
export function describeShard(file: Hdf5File, { shardId, laneId, commit, firstCommit, level }: NewShard): Group {
  file.create_attribute('varve_format', Int32Array.of(FORMAT_VERSION), [], '<i');
  file.create_attribute('shard', shardId);
  file.create_attribute('lane', laneId);
  file.create_attribute('commit', BigInt64Array.of(commit), [], '<q');
  file.create_attribute('first_commit', BigInt64Array.of(firstCommit), [], '<q');
  file.create_attribute('level', Int32Array.of(level), [], '<i');
  return file.create_group('series');
}

/** Attributes that a program needs of a series. */
export function writeRecord(group: Group, record: SeriesRecord): void {
  group.create_attribute(RECORD_ATTRIBUTE, recordText(record));
}

/** Attributes that a person wants to see of a series at once, without reading JSON. */
export function describeSeries(group: Group, { description: d }: SeriesRecord): void {
  group.create_attribute('name', d.name);
  group.create_attribute('unit', d.unit ?? '');
  group.create_attribute('scale', Float64Array.of(d.scale), [], '<d');
  group.create_attribute('offset', Float64Array.of(d.offset), [], '<d');
  if (d.rate !== null) group.create_attribute('rate', d.rate);
  group.create_attribute(
    'channels',
    d.channels.map(({ label }) => label),
  );
}

/** Makes an empty dataset of rows. @param rowShape of one row: [] for a vector */
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

/** Makes a dataset that is one run of bytes, with its rows. @returns those bytes */
export function createContiguous(
  group: Group,
  name: string,
  dtype: Dtype,
  rowShape: number[],
  rows: SampleArray,
): Uint8Array {
  const shape = [rows.length / rowShape.reduce((a, b) => a * b, 1), ...rowShape];
  group.create_dataset({ name, data: rows, dtype: HDF5_DTYPE[dtype], shape });
  return bytesOf(rows);
}

/** The attribute `missing_value`, in the dtype; none where there is no such value. @param name another name for it */
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
