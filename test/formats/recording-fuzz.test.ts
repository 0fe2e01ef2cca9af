/** Files with bytes that were changed, cut out or put in: whatever comes, a reader answers in a sentence, and soon. */
import { expect, test } from '@jest/globals';
import { isVarveError } from '../../src/core/errors.ts';
import type { Recording } from '../../src/core/signal/recording.ts';
import { readAbf } from '../../src/formats/recordings/abf.ts';
import { readBiopac } from '../../src/formats/recordings/biopac.ts';
import { readBrainVision } from '../../src/formats/recordings/brainvision.ts';
import { readEdf } from '../../src/formats/recordings/edf.ts';
import { readOpenEphys } from '../../src/formats/recordings/open-ephys.ts';
import type { FileOptions, RecordingFiles } from '../../src/formats/recordings/recording-files.ts';
import { readSpikeGlx } from '../../src/formats/recordings/spikeglx.ts';
import { readWfdb } from '../../src/formats/recordings/wfdb.ts';
import { readXdf } from '../../src/formats/recordings/xdf.ts';
import { modelRuns, MODEL_LIMIT_MS } from '../support/model-runs.ts';
import { abfFile } from './abf-bytes.ts';
import { biopacFile } from './biopac-bytes.ts';
import { brainVisionFiles } from './brainvision-bytes.ts';
import { edfFile, tal } from './edf-bytes.ts';
import { openEphysFiles } from './open-ephys-bytes.ts';
import { filesOf } from './recording-bytes.ts';
import { probeFiles } from './spikeglx-bytes.ts';
import { chunk, clockOffset, samples, streamHeader, xdfFile, type XdfStreamBytes } from './xdf-bytes.ts';

const RUNS = modelRuns(500);
/** A mutated header may promise more than its file has; what is read may not be more than a file so small can hold. */
const MAX_ROWS = 100_000;

const VALUES = Int16Array.from({ length: 90 }, (_, i) => i * 7 - 300);
const LIST = [...VALUES];
const STREAM: XdfStreamBytes = { id: 1, name: 'a', format: 'int16', hz: 10, channels: ['x', 'y'] };
const TEXTS: XdfStreamBytes = { id: 2, name: 'b', format: 'string', hz: 0, channels: ['m'] };
const RECORDS = [
  [LIST.slice(0, 4), [1]],
  [LIST.slice(4, 8), [2]],
  [LIST.slice(8, 12), [3]],
];
const TALS = [[tal('+0', '', ''), tal('+1', '2', 'a')], [tal('+1', '', '')], [tal('+5', '', '', 'b')]];
const ABF = {
  samples: LIST,
  channels: [
    { name: 'a', unit: 'pA', scaleFactor: 0.1 },
    { name: 'b', unit: 'mV', scaleFactor: 1 },
  ],
  mode: 5,
  sweeps: [
    [0, 40],
    [100, 50],
  ],
  tags: [[3, 'x', 1]],
} as const;

type Reader = (files: RecordingFiles, file: string, options: FileOptions) => Promise<Recording>;

const CASES: readonly (readonly [string, Reader, string, Record<string, Uint8Array>])[] = [
  ['EDF+D', readEdf, 'r.edf', { 'r.edf': edfFile({ reserved: 'EDF+D', records: RECORDS, tals: TALS }) }],
  ['BDF', readEdf, 'r.bdf', { 'r.bdf': edfFile({ isBdf: true, records: RECORDS }) }],
  ['ABF1', readAbf, 'r.abf', { 'r.abf': abfFile({ ...ABF, version: 1 }) }],
  ['ABF2', readAbf, 'r.abf', { 'r.abf': abfFile({ ...ABF, version: 2 }) }],
  [
    'BrainVision',
    readBrainVision,
    'r.vhdr',
    brainVisionFiles({
      values: VALUES,
      format: 'INT_16',
      orientation: 'VECTORIZED',
      channels: ['a,,0.5,µV', 'b,,,'],
      markers: [
        'New Segment,,1,1,0,20260501093010123456',
        'Stimulus,S 1,9,1,1',
        'New Segment,,20,1,0,20260501093110123456',
      ],
    }),
  ],
  ['SpikeGLX', readSpikeGlx, 'run_g0_t0.imec0.ap.meta', probeFiles(VALUES)],
  [
    'Open Ephys',
    readOpenEphys,
    'structure.oebin',
    openEphysFiles({
      values: VALUES,
      numbers: LIST.slice(0, 45),
      lines: [
        [1, 1],
        [2, -1],
      ],
      messages: [[1, 'm']],
      isNew: true,
    }),
  ],
  [
    'XDF',
    readXdf,
    'r.xdf',
    {
      'r.xdf': xdfFile(
        streamHeader(STREAM),
        samples(STREAM, [
          [1, [1, 2]],
          [null, [3, 4]],
        ]),
        streamHeader(TEXTS),
        samples(TEXTS, [[2, ['x']]]),
        clockOffset(1, 3, 0.5),
        chunk(5, Buffer.from('43a546dccbf5410fb30ed5467383cbe4', 'hex'), 1),
      ),
    },
  ],
  [
    'BIOPAC',
    readBiopac,
    'r.acq',
    {
      'r.acq': biopacFile({
        revision: 128,
        channels: [
          { name: 'a', unit: 'mV', divider: 1, samples: LIST.slice(0, 40) },
          { name: 'b', unit: 'V', divider: 2, samples: LIST.slice(0, 20), isFloat: true },
        ],
        markers: [[1, 'x']],
      }),
    },
  ],
  [
    'WFDB',
    readWfdb,
    'm.hea',
    {
      'm.hea': Buffer.from('m/3 2 100 40 10:00:00 01/05/2026\ns1 12\n~ 3\ns2 20\n# note\n'),
      's1.hea': Buffer.from('s1 2 100 12\ns1.dat 16x2 100/uV 16 0 0 0 0 x\ns1.dat 16:1 0 16 0 0 0 0 y\n'),
      's2.hea': Buffer.from('s2 2 100 20\ns2.dat 212+3 100(5)/uV 12 0 0 0 0 x\ns3.dat 8 20 8 0 0 0 0 y\n'),
      's1.dat': Buffer.from(VALUES.buffer),
      's2.dat': Buffer.from(VALUES.buffer),
      's3.dat': Buffer.from(VALUES.buffer),
      'm.atr': Buffer.from([5, 4, 0, 236, 0, 0, 9, 0, 3, 252, 65, 66, 67, 0, 7, 4, 0, 0]),
    },
  ],
];

/** Numbers below one, the same for the same seed. */
function randomOf(seed: number): () => number {
  let state = seed * 2_654_435_761 + 1;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

const EVIL = [
  '-1',
  '0',
  '999999999',
  'NaN',
  '1e308',
  '',
  '\0',
  '../',
  '\xff\xff\xff\xff',
  '\x7f\xff\xff\xff',
  ',,,',
  '~',
];

function mutated(bytes: Uint8Array, random: () => number): Buffer {
  let out = Buffer.from(bytes);
  const place = (): number => Math.floor(random() * (out.length + 1));
  for (let i = 0, changes = 1 + Math.floor(random() * 4); i < changes; i++) {
    const at = place();
    const kind = random();
    if (kind < 0.4 && at < out.length) out[at] = Math.floor(random() * 256);
    else if (kind < 0.7) out.write(EVIL[Math.floor(random() * EVIL.length)], Math.min(at, out.length), 'latin1');
    else if (kind < 0.8) out = out.subarray(0, at);
    else if (kind < 0.9) out = Buffer.concat([out.subarray(0, at), out.subarray(Math.min(out.length, at + 3))]);
    else out = Buffer.concat([out.subarray(0, at), Buffer.from(EVIL[i], 'latin1'), out.subarray(at)]);
  }
  return out;
}

test.each(CASES)(
  'a changed %s file is read or refused in a sentence',
  async (_, read, name, files) => {
    const names = Object.keys(files);
    let taken = 0;
    for (let seed = 1; seed <= RUNS; seed++) {
      const random = randomOf(seed);
      const victim = names[Math.floor(random() * names.length)];
      const changed = { ...files, [victim]: mutated(files[victim], random) };
      try {
        const { series, notes } = await read(filesOf(changed), name, { name: 'r' });
        let rows = 0;
        for (const each of series) for await (const batch of each.batches()) rows += batch.rows;
        if (rows > MAX_ROWS) throw new Error(`seed ${seed} made ${rows} rows`);
        if (notes.some((note) => note.length > 2000)) throw new Error(`seed ${seed} made an endless note`);
        taken++;
      } catch (error) {
        if (!isVarveError(error)) throw new Error(`seed ${seed} in ${victim}`, { cause: error });
        expect(error.message.length).toBeLessThan(2000);
      }
    }
    // Else nothing but refusals would have been tried.
    expect(taken).toBeGreaterThan(RUNS / 20);
  },
  MODEL_LIMIT_MS,
);
