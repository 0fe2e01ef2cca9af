import { createHash } from 'node:crypto';
import { expect, test, describe } from '@jest/globals';
import { openHdf5Tree } from '../../src/flows/import/hdf5-tree.ts';
import type { Hdf5File, Hdf5Node } from '../../src/formats/recordings/hdf5-file.ts';
import { readOpenSignals } from '../../src/formats/recordings/opensignals.ts';
import { Hdf5Reader } from '../../src/storage/survey/hdf5-reader.ts';
import { describeRecordings, expectedOf, sharedDataPath } from '../support/shared-data.ts';
import { rowsOf } from './streams.ts';

async function treeOf(path: string): Promise<{ tree: Hdf5File; close: () => Promise<void> }> {
  const reader = new Hdf5Reader();
  return { tree: await openHdf5Tree(reader, path), close: () => reader.close() };
}

interface ExpectedDataset {
  readonly n: number;
  readonly dtype: string;
  readonly sha256_le: string;
}

describeRecordings('OpenSignals recordings', () => {
  test.each([
    ['eeg_sample_closed_open_eyes', 1000n, 1_553_772_929_000_000_000n, ['00:07:80:3B:46:58']],
    ['loft_time_subject_1', 500n, 1_570_548_289_541_000_000n, ['00:07:80:4D:2E:81', '00:07:80:D8:AB:46']],
  ])('%s: every raw dataset is what h5py reads, at its rate and start', async (name, rate, startNs, devices) => {
    const expected = expectedOf(`opensignals/${name}.h5`) as Record<string, ExpectedDataset>;
    const { tree, close } = await treeOf(sharedDataPath(`opensignals/${name}.h5`));
    const { series } = await readOpenSignals(tree, { name });
    expect(series.map(({ spec }) => spec.name)).toEqual(
      devices.flatMap((device) => [`${name}/${device}`, `${name}/${device}/nSeq`, `${name}/${device}/digital`]),
    );
    const seen = new Set<string>();
    for (const recorded of series) {
      const { spec, rows } = recorded;
      expect(spec.sampling).toEqual({ kind: 'regular', rate: { num: rate, den: 1n }, startNs });
      const { valueBytes } = await rowsOf(recorded.batches());
      const paths = spec.provenance.datasets as string[];
      paths.forEach((path, c) => {
        const raw = expected[path.slice(1)];
        if (!raw) return;
        seen.add(path.slice(1));
        expect([spec.dtype, rows]).toEqual([raw.dtype, raw.n]);
        expect(columnSha256(valueBytes, c, paths.length, raw.dtype === 'uint16' ? 2 : 4)).toBe(raw.sha256_le);
      });
    }
    expect([...seen].sort()).toEqual(Object.keys(expected).sort());
    await close();
  });

  test('device, model and sensors are tags; attributes are provenance that JSON can hold', async () => {
    const { tree, close } = await treeOf(sharedDataPath('opensignals/loft_time_subject_1.h5'));
    const { series, notes } = await readOpenSignals(tree, { name: 'loft' });
    expect(series[0].spec.tags).toEqual({
      device: '00:07:80:4D:2E:81',
      device_model: 'biosignalsplux',
      sensor: 'FORCEPLATFORM',
    });
    expect(series[0].spec.channels[1]).toMatchObject({
      label: 'channel_2',
      info: { label: 'CH2', sensor: 'FORCEPLATFORM' },
    });
    const { attributes, instrument } = JSON.parse(JSON.stringify(series[0].spec.provenance));
    expect(instrument).toEqual({ model: 'biosignalsplux', firmware: '773', mac_address: '00:07:80:4D:2E:81' });
    expect(attributes).toMatchObject({
      'sampling rate': 500,
      resolution: [16, 16, 16, 16],
      'device name': '00:07:80:4D:2E:81',
    });
    expect(notes.join('\n')).toContain('/00:07:80:4D:2E:81/events/digital (1 × 4)');
    await close();
  });
});

function columnSha256(bytes: Buffer, column: number, columns: number, size: number): string {
  const hash = createHash('sha256');
  const out = Buffer.alloc(bytes.length / columns);
  for (let from = column * size, to = 0; to < out.length; from += columns * size, to += size)
    bytes.copy(out, to, from, from + size);
  return hash.update(out).digest('hex');
}

describe('HDF5 files that are something else', () => {
  const tree = (attributes: Record<string, unknown>, path: string): Hdf5File => {
    const type = { kind: 'number', dtype: 'uint16', stored: 'plain', swapped: false } as const;
    const nodes: Hdf5Node[] = [
      { path: '/dev', kind: 'group', shape: [], type: null, chunks: null, attributes },
      { path, kind: 'dataset', shape: [3], type, chunks: null, attributes: {} },
    ];
    return {
      nodes,
      at: (wanted) => nodes.find((node) => node.path === wanted),
      readBlock: async () => new Uint8Array(6),
      readValues: async () => [0, 0, 0],
    };
  };

  test('without a raw group there is nothing to import', async () => {
    await expect(readOpenSignals(tree({}, '/data/x'), { name: 'x' })).rejects.toMatchObject({ code: 'unprocessable' });
  });

  test('without a sampling rate the device is named', async () => {
    await expect(readOpenSignals(tree({}, '/dev/raw/channel_1'), { name: 'x' })).rejects.toMatchObject({
      errors: [{ field: '/dev' }],
    });
  });

  test('without date and time the recording counts from its start, and a note says so', async () => {
    const { series, notes } = await readOpenSignals(tree({ 'sampling rate': [100] }, '/dev/raw/channel_1'), {
      name: 'x',
    });
    expect(series[0].spec).toMatchObject({ timeReference: 'relative', sampling: { startNs: 0n } });
    expect(notes.join('\n')).toMatch(/dev: no readable date/);
  });
});
