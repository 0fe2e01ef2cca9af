/** MNE and Neo read the files that our readers read, and find the same. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { calibrationOf, toPhysical } from '../../src/core/signal/calibration.ts';
import { rateHz } from '../../src/core/signal/rate.ts';
import { viewAs } from '../../src/core/numbers/dtype.ts';
import type { Recording } from '../../src/core/signal/recording.ts';
import { readAbf } from '../../src/formats/recordings/abf.ts';
import { readBrainVision } from '../../src/formats/recordings/brainvision.ts';
import { readEdf } from '../../src/formats/recordings/edf.ts';
import { readOpenEphys } from '../../src/formats/recordings/open-ephys.ts';
import { readSpikeGlx } from '../../src/formats/recordings/spikeglx.ts';
import { describePython } from '../support/python.ts';
import { abfFile } from './abf-bytes.ts';
import { brainVisionFiles } from './brainvision-bytes.ts';
import { edfFile, tal } from './edf-bytes.ts';
import { openEphysFiles } from './open-ephys-bytes.ts';
import { filesIn, readRows } from './recording-bytes.ts';
import { probeFiles } from './spikeglx-bytes.ts';

/** What a judge says: physical values by channel, and the rest as far as it knows. */
interface Judged {
  readonly labels: string[];
  readonly rate: number;
  readonly values: number[][];
  readonly marks: [number, string][];
  /** Where segments begin, in seconds. */
  readonly starts?: number[];
}

const JUDGE = `
import json, sys, warnings
import numpy as np
import mne
from neo.rawio import AxonRawIO, SpikeGLXRawIO, OpenEphysBinaryRawIO
warnings.simplefilter('ignore')
mne.set_log_level('ERROR')
root = sys.stdin.read()

def by_mne(raw, scale):
    marks = [[float(a['onset']), str(a['description'])] for a in raw.annotations]
    return dict(labels=raw.ch_names, rate=raw.info['sfreq'], values=(raw.get_data() * scale).tolist(), marks=marks)

def by_neo(reader):
    reader.parse_header()
    channels = reader.header['signal_channels']
    parts, starts = [], []
    for segment in range(reader.segment_count(0)):
        raw = reader.get_analogsignal_chunk(0, segment, stream_index=0)
        parts.append(reader.rescale_signal_raw_to_float(raw, 'float64', stream_index=0))
        starts.append(float(reader.get_signal_t_start(0, segment, 0)))
    marks = []
    for channel in range(len(reader.header['event_channels'])):
        stamps, _, labels = reader.get_event_timestamps(0, 0, channel)
        if len(stamps) > 0:
            marks += [[float(s), str(l)] for s, l in zip(reader.rescale_event_timestamp(stamps, 'float64', channel), labels)]
    return dict(labels=[str(n) for n in channels['name']], rate=float(channels['sampling_rate'][0]),
                values=np.concatenate(parts).T.tolist(), marks=marks, starts=starts)

print(json.dumps({
    'edf': by_mne(mne.io.read_raw_edf(root + '/r.edf'), 1e6),
    'bdf': by_mne(mne.io.read_raw_bdf(root + '/r.bdf'), 1e6),
    'brainvision': by_mne(mne.io.read_raw_brainvision(root + '/bv/r.vhdr'), 1e6),
    'vectorized': by_mne(mne.io.read_raw_brainvision(root + '/vec/r.vhdr'), 1e6),
    'abf1': by_neo(AxonRawIO(root + '/1.abf')),
    'abf2': by_neo(AxonRawIO(root + '/2.abf')),
    'spikeglx': by_neo(SpikeGLXRawIO(root + '/glx', load_sync_channel=True)),
    'openephys': by_neo(OpenEphysBinaryRawIO(root + '/oe')),
}))
`;

const VALUES = Int16Array.from({ length: 120 }, (_, i) => ((i * 7919) % 65_536) - 32_768);
const LIST = [...VALUES];
const RECORDS = Array.from({ length: 5 }, (_, r) => [
  LIST.slice(r * 24, r * 24 + 12),
  LIST.slice(r * 24 + 12, r * 24 + 24),
]);
const TALS = RECORDS.map((_, r) => [tal(`+${r * 2}`, '', ''), ...(r === 1 ? [tal('+2.5', '1', 'Lidschluß')] : [])]);
const CHANNELS = [
  { name: 'Im', unit: 'pA', scaleFactor: 0.0005, gain: 2, instrumentOffset: 1.5, signalOffset: 0.25 },
  { name: 'Vm', unit: 'mV', scaleFactor: 0.01 },
];
const SWEEPS = [
  [0, 40],
  [3000, 40],
  [9000, 40],
] as const;
const MARKERS = ['New Segment,,1,1,0,20260501093010123456', 'Stimulus,S  1,7,1,0'];
const EPHYS = 'oe/Record Node 101/experiment1/recording1';

describePython('files that MNE and Neo read, too', ['mne', 'neo'], (run) => {
  let folder: string;
  let judged: Record<string, Judged>;

  function put(files: Record<string, Uint8Array>, within = ''): void {
    for (const [name, bytes] of Object.entries(files)) {
      const path = join(folder, within, name);
      mkdirSync(dirname(path), { recursive: true });
      writeFileSync(path, bytes);
    }
  }

  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'varve-judges-'));
    const samples = LIST;
    const abf = { samples, channels: CHANNELS, mode: 5, sweeps: SWEEPS, synchUnit: 2 } as const;
    put({
      'r.edf': edfFile({ reserved: 'EDF+C', duration: '2', records: RECORDS, tals: TALS }),
      'r.bdf': edfFile({ isBdf: true, duration: '0.5', records: RECORDS }),
      '1.abf': abfFile({ ...abf, version: 1 }),
      '2.abf': abfFile({ ...abf, version: 2, tags: [[500, 'drug', 1]] }),
    });
    const channels = ['Fp1,,0.5,µV', 'Fp2,,0.1,mV'];
    put(brainVisionFiles({ values: VALUES, format: 'INT_16', channels, markers: MARKERS }), 'bv');
    const floats = Float32Array.from(LIST, (value) => value / 3);
    put(
      brainVisionFiles({
        values: floats,
        format: 'IEEE_FLOAT_32',
        orientation: 'VECTORIZED',
        channels,
        markers: MARKERS,
      }),
      'vec',
    );
    put(probeFiles(VALUES), 'glx');
    const numbers = LIST.slice(0, 60).map((_, i) => 5000 + i);
    put(
      openEphysFiles({
        values: VALUES,
        numbers,
        lines: [
          [5003, 2],
          [5009, -2],
        ],
        messages: [[5004, 'hello']],
      }),
      EPHYS,
    );
    judged = JSON.parse(run(JUDGE, folder).toString()) as Record<string, Judged>;
  });

  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  /** The same of ours, for the one series of a recording. */
  async function ours({ series: [series] }: Recording): Promise<Judged> {
    const { spec, annotations } = series;
    const { bytes, segments } = await readRows(series);
    const count = spec.channels.length;
    const raw = viewAs(spec.dtype, new Uint8Array(bytes));
    const maps = spec.channels.map((channel) => calibrationOf(spec, channel));
    const physical = toPhysical({ dtype: spec.dtype, missingValue: null }, raw, maps);
    const { sampling } = spec;
    if (sampling.kind !== 'regular' || sampling.startNs === null) throw new Error('is not regular');
    const { startNs, rate } = sampling;
    return {
      labels: spec.channels.map(({ label }) => label),
      rate: rateHz(rate),
      values: spec.channels.map((_, c) => Array.from(physical).filter((__, i) => i % count === c)),
      marks: annotations.map((mark) => [Number(mark.startNs - startNs) / 1e9, mark.label]),
      starts: [0, ...segments.map(([, ns]) => Number(ns - startNs) / 1e9)],
    };
  }

  function expectSame(found: Judged, judge: Judged, scales: readonly number[]): void {
    expect([found.labels, found.values.map((each) => each.length)]).toEqual([
      judge.labels,
      judge.values.map((each) => each.length),
    ]);
    expect(found.rate).toBeCloseTo(judge.rate, 6);
    found.values.forEach((values, c) => {
      const worst = Math.max(...values.map((value, i) => Math.abs(value * scales[c] - judge.values[c][i])));
      const largest = Math.max(...judge.values[c].map(Math.abs));
      // Judges compute in single precision here and there.
      expect(worst).toBeLessThanOrEqual(largest * 1e-6);
    });
  }

  test('EDF and BDF', async () => {
    const edf = await ours(await readEdf(filesIn(folder), 'r.edf', { name: 'r' }));
    expectSame(edf, judged.edf, [1, 1]);
    expect(edf.marks).toEqual(judged.edf.marks);
    expectSame(await ours(await readEdf(filesIn(folder), 'r.bdf', { name: 'r' })), judged.bdf, [1, 1]);
  });

  test.each([
    ['brainvision', 'bv'],
    ['vectorized', 'vec'],
  ])('BrainVision, %s', async (name, within) => {
    const found = await ours(await readBrainVision(filesIn(join(folder, within)), 'r.vhdr', { name: 'r' }));
    // MNE gives volts, and here microvolts: the second channel is in millivolts.
    expectSame(found, judged[name], [1, 1000]);
    expect(found.marks.map(([at]) => at)).toEqual(judged[name].marks.map(([at]) => at));
  });

  test.each([1, 2])('ABF%i: values and starts of sweeps', async (version) => {
    const found = await ours(await readAbf(filesIn(folder), `${version}.abf`, { name: 'r' }));
    const judge = judged[`abf${version}`];
    expectSame(found, judge, [1, 1]);
    expect(found.starts).toEqual(judge.starts);
  });

  test('SpikeGLX', async () => {
    const found = await ours(
      await readSpikeGlx(filesIn(join(folder, 'glx')), 'run_g0_t0.imec0.ap.meta', { name: 'r' }),
    );
    // Neo gives microvolts, and counts the word of the synchronisation among them.
    expectSame(found, judged.spikeglx, [1e6, 1e6, (0.6 / 512) * 1e6]);
  });

  test('Open Ephys, with its digital lines', async () => {
    const found = await ours(await readOpenEphys(filesIn(join(folder, EPHYS)), 'structure.oebin', { name: 'r' }));
    expectSame(found, judged.openephys, [1, 1]);
    // Neo counts from the clock of the board, and has on and off apart.
    const ttl = judged.openephys.marks.filter(([, label]) => label === '2');
    expect(ttl.map(([at]) => Math.round((at - 5) * 1000))).toEqual([3, 9]);
    expect(found.marks.filter(([, label]) => label === 'TTL 2')).toEqual([[0.003, 'TTL 2']]);
  });
});
