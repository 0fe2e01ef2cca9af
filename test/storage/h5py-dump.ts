/** Everything h5py finds in shards, as plain objects. */
import { expect } from '@jest/globals';
import { bytesOf, DTYPES } from '../../src/core/dtype.ts';
import { formatRate } from '../../src/core/rate.ts';
import type { RunPython } from '../support/python.ts';
import { describeSeries, RATE, type ModelShard } from './model-shard.ts';

interface DumpedDataset {
  readonly dtype: string;
  readonly shape: number[];
  readonly maxshape: (number | null)[];
  readonly chunkShape: number[];
  readonly filters: number;
  /** Base64 of the little-endian bytes, row-major. */
  readonly bytes: string;
  /** Per chunk: its first row, offset in the file, bytes; in order of rows. */
  readonly blocks: [number, number, number][];
}

/** Attributes as [NumPy type, value]. */
type DumpedAttributes = Record<string, [string, unknown]>;

interface DumpedShard {
  readonly attributes: DumpedAttributes;
  readonly series: Record<string, { attributes: DumpedAttributes; datasets: Record<string, DumpedDataset> }>;
}

const SCRIPT = `
import sys, json, base64, h5py
def attributes(item):
    return {name: ['str' if isinstance(value, str) else str(value.dtype), value if isinstance(value, str) else value.item()]
            for name, value in item.attrs.items()}
def dataset(item):
    blocks = [item.id.get_chunk_info(i) for i in range(item.id.get_num_chunks())]
    assert all(block.filter_mask == 0 for block in blocks)
    return {'dtype': item.dtype.str, 'shape': item.shape, 'maxshape': item.maxshape, 'chunkShape': item.chunks,
            'filters': item.id.get_create_plist().get_nfilters(), 'bytes': base64.b64encode(item[...].tobytes()).decode(),
            'blocks': sorted([block.chunk_offset[0], block.byte_offset, block.size] for block in blocks)}
def shard(path):
    with h5py.File(path, 'r') as file:
        return {'attributes': attributes(file),
                'series': {id: {'attributes': attributes(group), 'datasets': {name: dataset(d) for name, d in group.items()}}
                           for id, group in file['series'].items()}}
json.dump([shard(path) for path in json.load(sys.stdin)], sys.stdout)`;

export function dumpShards(run: RunPython, paths: readonly string[]): DumpedShard[] {
  return JSON.parse(run(SCRIPT, JSON.stringify(paths)).toString()) as DumpedShard[];
}

/** The files hold what was published: every value, time and attribute, each chunk where the catalog was told. */
export function expectAsPublished(run: RunPython, shards: readonly ModelShard[]): void {
  const dumps = dumpShards(
    run,
    shards.map((shard) => shard.path),
  );
  shards.forEach((shard, i) => {
    expect(dumps[i].attributes).toEqual({
      varve_format: ['int32', 1],
      shard: ['str', shard.id],
      lane: ['str', 'lane-1'],
    });
    const written = shard.series.filter((series) => series.rows > 0);
    expect(Object.keys(dumps[i].series).sort()).toEqual(written.map((series) => series.id).sort());
    for (const series of written) {
      const { attributes, datasets } = dumps[i].series[series.id];
      const { dtype, channels, irregular } = series.shape;
      expect(attributes).toEqual(attributesOf(series));
      expect(Object.keys(datasets).sort()).toEqual([irregular ? 'time' : 'segments', 'values']);
      const chunks = [...series.chunks.values()];

      const { values, time, segments } = datasets;
      expect(values).toMatchObject({
        dtype: DTYPES[dtype].npy,
        shape: [series.rows, channels],
        maxshape: [null, channels],
        filters: 0,
        blocks: chunks.map((chunk) => [chunk.datasetRow, chunk.values.offset, chunk.values.length]),
      });
      expect(Buffer.from(values.bytes, 'base64').equals(series.state.values)).toBe(true);
      if (irregular) {
        expect(time).toMatchObject({
          dtype: '<i8',
          shape: [series.rows],
          chunkShape: [values.chunkShape[0]],
          blocks: chunks.map((chunk) => [chunk.datasetRow, chunk.times!.offset, chunk.times!.length]),
        });
        const times = Buffer.from(bytesOf(BigInt64Array.from(series.state.times)));
        expect(Buffer.from(time.bytes, 'base64').equals(times)).toBe(true);
      } else {
        expect(segments).toMatchObject({ dtype: '<i8', shape: [series.state.starts.length, 2] });
        expect(int64s(segments)).toEqual(series.state.starts.flatMap(({ row, startNs }) => [BigInt(row), startNs]));
      }
    }
  });
}

function attributesOf(series: ModelShard['series'][number]): DumpedAttributes {
  const d = describeSeries(series);
  const { irregular } = series.shape;
  return {
    first_row: ['int64', series.firstRow],
    name: ['str', d.name],
    project: ['str', d.project],
    unit: ['str', d.unit ?? ''],
    kind: ['str', irregular ? 'irregular' : 'regular'],
    time_reference: ['str', d.timeReference],
    duplicates: ['str', d.duplicates],
    codec: ['str', d.codec],
    channels: ['str', d.channels],
    tags: ['str', d.tags],
    scale: ['float64', d.scale],
    offset: ['float64', d.offset],
    continuity: ['str', d.continuity!],
    resolution: ['float64', d.resolution!],
    missing_value: [series.shape.dtype, Number(d.missingValue)],
    time_zone: ['str', d.timeZone!],
    ...(irregular ? {} : { rate: ['str', formatRate(RATE)] }),
  };
}

function int64s({ bytes }: DumpedDataset): bigint[] {
  const buffer = Buffer.from(bytes, 'base64');
  return Array.from({ length: buffer.length / 8 }, (_, i) => buffer.readBigInt64LE(i * 8));
}
