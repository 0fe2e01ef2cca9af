import { describe, expect, test } from '@jest/globals';
import { readXdf } from '../../src/formats/recordings/xdf.ts';
import { filesOf, readRows } from './recording-bytes.ts';
import {
  boundary,
  chunk,
  clockOffset,
  samples,
  streamFooter,
  streamHeader,
  xdfFile,
  type XdfStreamBytes,
} from './xdf-bytes.ts';

const EEG: XdfStreamBytes = { id: 1, name: 'amp/1', format: 'int16', hz: 100, channels: ['Cz', 'Pz'] };
const MARKS: XdfStreamBytes = { id: 2, name: 'marks', format: 'string', hz: 0, channels: ['m'] };
const FIRST = samples(EEG, [
  [1000.000_000_001, [1, -1]],
  [null, [2, -2]],
  [1000.5, [3, -3]],
]);

function read(bytes: Uint8Array) {
  return readXdf(filesOf({ 'r.xdf': bytes }, 11), 'r.xdf', { name: 'r' });
}

describe('XDF files', () => {
  test('stamps are kept as they came; a sample without one comes a period after the one before', async () => {
    const { series } = await read(
      xdfFile(streamHeader(EEG), FIRST, samples(EEG, [[null, [4, -4]]]), streamFooter(1, 4)),
    );
    expect(series[0].spec).toMatchObject({
      name: 'r/amp_1',
      dtype: 'int16',
      sampling: { kind: 'irregular' },
      timeReference: 'relative',
      channels: [{ label: 'Cz', unit: 'microvolts' }, { label: 'Pz' }],
      provenance: { source_id: 's & t', recorded: '2026-05-01T09:30:10+0200', nominal_srate: '100' },
    });
    const { values, times } = await readRows(series[0]);
    expect(values).toEqual([1, -1, 2, -2, 3, -3, 4, -4]);
    expect(times).toEqual([1_000_000_000_001n, 1_000_010_000_001n, 1_000_500_000_000n, 1_000_510_000_000n]);
  });

  test('64-bit integers keep every digit', async () => {
    const stream: XdfStreamBytes = { ...EEG, format: 'int64', channels: ['n'] };
    const bytes = xdfFile(
      streamHeader(stream),
      samples(stream, [
        [1, ['9007199254740993']],
        [2, [-5]],
      ]),
    );
    expect((await readRows((await read(bytes)).series[0])).values).toEqual([9_007_199_254_740_993n, -5n]);
  });

  test('clock offsets are a series apart, and are not applied; a clock that was reset is said', async () => {
    const { series, notes } = await read(
      xdfFile(
        streamHeader(EEG),
        FIRST,
        clockOffset(1, 1000, -0.5),
        clockOffset(1, 1005, 990.25),
        samples(EEG, [[5, [4, -4]]]),
        streamFooter(1, 4),
      ),
    );
    expect(series.map(({ spec }) => spec.name)).toEqual(['r/amp_1', 'r/amp_1/clock offsets']);
    expect((await readRows(series[0])).times.at(-1)).toBe(5_000_000_000n);
    const offsets = await readRows(series[1]);
    expect([offsets.values, offsets.times]).toEqual([
      [-0.5, 990.25],
      [1_000_000_000_000n, 1_005_000_000_000n],
    ]);
    expect(notes.join('\n')).toMatch(/amp_1: 1 times lie before the one in front: its clock was reset/);
  });

  test('a stream of texts becomes annotations', async () => {
    const { series } = await read(
      xdfFile(
        streamHeader(MARKS),
        samples(MARKS, [
          [2.5, ['go ✓']],
          [3, ['']],
        ]),
        streamFooter(2, 2),
      ),
    );
    expect([series[0].rows, series[0].annotations]).toEqual([
      0,
      [
        { startNs: 2_500_000_000n, endNs: 2_500_000_000n, label: 'go ✓', payload: {} },
        { startNs: 3_000_000_000n, endNs: 3_000_000_000n, label: '(empty)', payload: { values: [''] } },
      ],
    ]);
  });

  test('without a footer all samples are read, and it is said', async () => {
    const { series, notes } = await read(xdfFile(streamHeader(EEG), FIRST));
    expect(series[0].rows).toBe(3);
    expect(notes.join('\n')).toMatch(/amp_1 has no footer.*all 3 samples/);
  });

  test('a file that was cut off within a chunk gives the whole samples of it', async () => {
    const bytes = xdfFile(streamHeader(EEG), FIRST);
    const { series, notes } = await read(bytes.subarray(0, bytes.length - 1));
    expect((await readRows(series[0])).values).toEqual([1, -1, 2, -2]);
    expect(notes.join('\n')).toMatch(/cut off in the chunk at byte \d+/);
  });

  test('broken bytes are passed over up to the next boundary', async () => {
    const { series, notes } = await read(
      xdfFile(streamHeader(EEG), FIRST, Buffer.from([7, 7, 7, 7]), boundary(), samples(EEG, [[2000, [9, 9]]])),
    );
    expect((await readRows(series[0])).values).toEqual([1, -1, 2, -2, 3, -3, 9, 9]);
    expect(notes.join('\n')).toMatch(/broken at byte \d+: the bytes up to \d+ are lost/);
  });

  test.each([
    ['no XDF file', Buffer.from('XDX:'), /does not begin as an XDF file does/],
    ['a file without streams', xdfFile(), /has no stream/],
    [
      '10^9 channels',
      xdfFile(chunk(2, Buffer.from('\x01\0\0\0<channel_count>1000000000</channel_count>'))),
      /1000000000 channels in stream 1/,
    ],
    ['a format that is none', xdfFile(streamHeader({ ...EEG, format: 'complex' as 'int16' })), /format "complex"/],
    ['a rate of NaN', xdfFile(streamHeader({ ...EEG, hz: NaN })), /nominal rate of NaN/],
    [
      'a stamp of NaN',
      xdfFile(streamHeader(EEG), samples(EEG, [[NaN, [1, 2]]])),
      /time stamp NaN in the chunk at byte/,
    ],
  ])('%s is refused in a sentence', async (_, bytes, message) => {
    await expect(read(bytes)).rejects.toMatchObject({ name: 'VarveError', message: expect.stringMatching(message) });
  });
});
