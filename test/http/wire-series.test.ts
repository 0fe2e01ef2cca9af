import { describe, expect, test } from '@jest/globals';
import { UNSAID, type Series } from '../../src/core/signal/series.ts';
import { parseWith } from '../../src/http/body/field-errors.ts';
import {
  newSeries,
  seriesAnswer,
  seriesCreate,
  seriesPatch,
  toSeriesAnswer,
  toSeriesPatch,
} from '../../src/http/wire/series-schema.ts';
import { SERIES } from './stub-service.ts';

const ANCESTOR = '0198c5e0-0000-7000-8000-00000000000a';
const least = { name: 'a', dtype: 'int16', sampling: { kind: 'irregular' } };
const regular = (more: object): object => ({ ...least, sampling: { kind: 'regular', rate_hz: 360, ...more } });
const create = (body: unknown) => newSeries(parseWith(seriesCreate, body, 'body'));

function fieldsOf(act: () => unknown): string[] {
  try {
    act();
  } catch (error) {
    const { code, errors } = error as { code: string; errors: { field: string }[] };
    expect(code).toBe('invalid-input');
    return errors.map(({ field }) => field);
  }
  throw new Error('was not refused');
}

/** [what, provenance, the place that is named within it] */
const WRONG_PROVENANCE: [string, object, string][] = [
  ['a serial number that is a number', { instrument: { make: 'x', serial: 5 } }, 'instrument.serial'],
  ['an instrument that is a number', { instrument: 5 }, 'instrument'],
  ['an empty instrument', { instrument: '' }, 'instrument'],
  ['software without a name', { software: { version: '1' } }, 'software.name'],
  ['a version that is a number', { software: [{ name: 'a' }, { name: 'b', version: 2 }] }, 'software[1].version'],
  ['no software', { software: [] }, 'software'],
  ['an operator that is an object', { operator: { name: 'x' } }, 'operator'],
  ['a protocol that is empty', { protocol: '' }, 'protocol'],
  ['a subject that is an object', { subject: { id: 'x' } }, 'subject'],
  ['a subject of two lines', { subject: 'a\nb' }, 'subject'],
  ['a sample that is a number', { sample: 3 }, 'sample'],
  ['a source that is a text', { source: 'x.edf' }, 'source'],
  ['a short checksum', { source: { sha256: 'a'.repeat(63) } }, 'source.sha256'],
  ['a checksum of other letters', { source: { sha256: 'g'.repeat(64) } }, 'source.sha256'],
  ['half a byte', { source: { bytes: 0.5 } }, 'source.bytes'],
  ['a url that is none', { source: { url: 'here' } }, 'source.url'],
  ['an importer that is a list', { importer: ['x'] }, 'importer'],
  ['an ancestor that is not in a list', { derived_from: ANCESTOR }, 'derived_from'],
  ['an ancestor that is no id', { derived_from: [ANCESTOR, 'mouse-12/ecg'] }, 'derived_from[1]'],
  ['an ancestor without an id', { derived_from: [{ commit: 3 }] }, 'derived_from[0].series'],
  ['half a commit', { derived_from: [{ series: ANCESTOR, commit: 0.5 }] }, 'derived_from[0].commit'],
  ['101 ancestors', { derived_from: Array.from({ length: 101 }, () => ANCESTOR) }, 'derived_from'],
];

describe('creating a series', () => {
  test('what is not said gets its default', () => {
    expect(create(least)).toEqual({
      project: 'default',
      name: 'a',
      description: null,
      dtype: 'int16',
      channels: [{ label: 'value' }],
      unit: null,
      scale: 1,
      offset: 0,
      sampling: { kind: 'irregular' },
      timeReference: 'utc',
      duplicates: 'last',
      codec: 'gzip',
      tags: {},
      ...UNSAID,
      provenance: {},
      recording: null,
    });
  });

  test.each([
    [{ instrument: 'Axopatch 200B', software: 'pClamp 10', rig: { number: 4 } }],
    [{ instrument: { make: 'Intan', channels: 64 }, software: { name: 'Open Ephys', version: '0.6', plugins: [] } }],
    [
      {
        software: [{ name: 'a' }, { name: 'b', version: '2' }],
        operator: 'jd',
        protocol: 'p',
        sample: 's',
        importer: 'i',
      },
    ],
    [
      {
        source: { file: 'a.edf', sha256: 'A3'.repeat(32), bytes: 0, url: 's3://bucket/a.edf', disk: 3 },
        subject: 'm-12',
      },
    ],
    [{ derived_from: [ANCESTOR, { series: ANCESTOR, commit: 0, note: 'filtered', how: {} }] }],
    [{ derived_from: [], anything: [null, { x: 1 }] }],
  ])('provenance may be %j', (provenance) => {
    expect(create({ ...least, provenance }).provenance).toEqual(provenance);
    expect(toSeriesPatch(parseWith(seriesPatch, { provenance }, 'body')).provenance).toEqual(provenance);
  });

  test('channels say where they are from', () => {
    const about = {
      location: 'V1, layer 4',
      group: 'shank 2',
      filtering: 'HP:0.1Hz LP:75Hz',
      reference: 'A1',
      impedance_ohm: 5000,
      bad: true,
    };
    expect(create({ ...least, channels: [about, { label: 'b' }] }).channels).toEqual([
      { label: 'ch0', ...about },
      { label: 'b' },
    ]);
    for (const [name, value] of Object.entries({
      location: '',
      group: 5,
      impedance_ohm: -1,
      bad: 'yes',
      colour: 'red',
    })) {
      expect(fieldsOf(() => create({ ...least, channels: [{ label: 'a' }, { [name]: value }] }))).toEqual([
        `channels[1].${name}`,
      ]);
    }
  });

  test('the example of the contract is read', () => {
    const read = create({
      name: 'mouse-12/ecg',
      dtype: 'int16',
      channels: [{ label: 'MLII', unit: 'mV' }, { label: 'V5' }],
      unit: 'mV',
      scale: 0.005,
      offset: -5.12,
      tags: { species: 'mouse', age_days: 61, anaesthetised: false },
      sampling: { kind: 'regular', rate_hz: 360, start: '2026-05-01T09:00:00Z' },
    });
    expect(read.sampling).toEqual({
      kind: 'regular',
      rate: { num: 360n, den: 1n },
      startNs: 1_777_626_000_000_000_000n,
    });
    expect(read.channels).toEqual([{ label: 'MLII', unit: 'mV' }, { label: 'V5' }]);
    expect(read.tags).toEqual({ species: 'mouse', age_days: 61, anaesthetised: false });
  });

  test.each([
    [3, ['ch0', 'ch1', 'ch2']],
    [1, ['value']],
    [
      [{}, { label: 'x' }],
      ['ch0', 'x'],
    ],
    [[{ unit: 'mV' }], ['value']],
  ])('channels %j get the labels %j', (channels, labels) => {
    expect(create({ ...least, channels }).channels.map(({ label }) => label)).toEqual(labels);
  });

  test.each([
    [{}, 'relative', null],
    [{ start: '1970-01-01T00:00:00Z' }, 'utc', 0n],
    [{ start: 0 }, 'utc', 0n],
    [{ start: '1777626000000000001' }, 'utc', 1_777_626_000_000_000_001n],
  ])('a regular series with %j is %s and begins at %s', (more, timeReference, startNs) => {
    expect(create(regular(more))).toMatchObject({ timeReference, sampling: { startNs } });
  });

  test.each([
    [20.03, { num: 2003n, den: 100n }],
    ['30000/1001', { num: 30000n, den: 1001n }],
    ['0.5', { num: 1n, den: 2n }],
  ])('the rate %s is exact', (rate_hz, rate) => {
    expect(create(regular({ rate_hz }))).toMatchObject({ sampling: { rate } });
  });

  test.each<[string, unknown, string[]]>([
    ['no body', undefined, ['body']],
    ['a list', [], ['body']],
    ['nothing in it', {}, ['name', 'dtype', 'sampling']],
    ['an unknown key', { ...least, colour: 1 }, ['colour']],
    ['an unknown key inside', regular({ phase: 1 }), ['sampling.phase']],
    ['an empty name', { ...least, name: '' }, ['name']],
    ['a long name', { ...least, name: 'x'.repeat(513) }, ['name']],
    ['a name with a newline', { ...least, name: 'a\nb' }, ['name']],
    ['a name ending with a space', { ...least, name: 'a ' }, ['name']],
    ['an unknown dtype', { ...least, dtype: 'int12' }, ['dtype']],
    ['no channels', { ...least, channels: 0 }, ['channels']],
    ['too many channels', { ...least, channels: 65_537 }, ['channels']],
    ['channels as a text', { ...least, channels: '2' }, ['channels']],
    ['a wrong unit of a channel', { ...least, channels: [{}, { unit: 5 }] }, ['channels[1].unit']],
    ['an unknown key of a channel', { ...least, channels: [{ color: 'red' }] }, ['channels[0].color']],
    ['two channels of one label', { ...least, channels: [{ label: 'a' }, { label: 'a' }] }, ['channels[1].label']],
    ['a label that another gets by default', { ...least, channels: [{ label: 'ch1' }, {}] }, ['channels[1].label']],
    ['gain and scale', { ...least, channels: [{ gain: 2, scale: 3 }] }, ['channels[0].gain']],
    ['gain 0', { ...least, channels: [{ gain: 0 }] }, ['channels[0].gain']],
    ['baseline without gain', { ...least, channels: [{ baseline: 1 }] }, ['channels[0].baseline']],
    ['scale 0', { ...least, scale: 0 }, ['scale']],
    ['infinite scale', { ...least, scale: Infinity }, ['scale']],
    ['an unknown sampling', { ...least, sampling: { kind: 'sometimes' } }, ['sampling.kind']],
    ['rate 0', regular({ rate_hz: 0 }), ['sampling.rate_hz']],
    ['no rate', { ...least, sampling: { kind: 'regular' } }, ['sampling.rate_hz']],
    ['a start that is no time', regular({ start: 'noon' }), ['sampling.start']],
    ['a rate for an irregular series', { ...least, sampling: { kind: 'irregular', rate_hz: 1 } }, ['sampling.rate_hz']],
    ['a tag that is an empty list', { ...least, tags: { a: [] } }, ['tags.a']],
    ['a long tag', { ...least, tags: { 'heart rate': 'x'.repeat(4097) } }, ['tags["heart rate"]']],
    ['a tag without a name', { ...least, tags: { '': 1 } }, ['tags[""]']],
    ['257 tags', { ...least, tags: Object.fromEntries(Array.from({ length: 257 }, (_, i) => [`t${i}`, i])) }, ['tags']],
    ['a continuity that there is not', { ...least, continuity: 'smooth' }, ['continuity']],
    ['a resolution of nothing', { ...least, resolution: 0 }, ['resolution']],
    ['a missing value that the type has not', { ...least, missing_value: 32_768 }, ['missing_value']],
    ['half a missing value of an integer', { ...least, missing_value: 0.5 }, ['missing_value']],
    ['a missing value of no digits', { ...least, dtype: 'float64', missing_value: '' }, ['missing_value']],
    [
      'a missing value of many digits',
      { ...least, dtype: 'float64', missing_value: '9'.repeat(400) },
      ['missing_value'],
    ],
    ['a missing value in words', { ...least, missing_value: 'none' }, ['missing_value']],
    ['a missing value beyond float32', { ...least, dtype: 'float32', missing_value: 1e39 }, ['missing_value']],
    ['a zone that there is not', { ...least, time_zone: 'Mars/Olympus' }, ['time_zone']],
    ['a foreign id that is empty', { ...least, external_ids: { doi: '' } }, ['external_ids.doi']],
    [
      '51 foreign ids',
      { ...least, external_ids: Object.fromEntries(Array.from({ length: 51 }, (_, i) => [`t${i}`, 'x'])) },
      ['external_ids'],
    ],
    ['half a digital range', { ...least, channels: [{ digital_min: 0 }] }, ['channels[0].digital_max']],
    [
      'half a physical range',
      { ...least, channels: [{ digital_min: 0, digital_max: 1, physical_max: 1 }] },
      ['channels[0].physical_min'],
    ],
    [
      'a physical range of nothing',
      { ...least, channels: [{ physical_min: 0, physical_max: 1 }] },
      ['channels[0].physical_min'],
    ],
    [
      'a digital range upside down',
      { ...least, channels: [{ digital_min: 1, digital_max: 1 }] },
      ['channels[0].digital_max'],
    ],
    [
      'a physical range without width',
      { ...least, channels: [{ digital_min: 0, digital_max: 1, physical_min: 2, physical_max: 2 }] },
      ['channels[0].physical_max'],
    ],
    [
      'two calibrations of one channel',
      { ...least, channels: [{ digital_min: 0, digital_max: 1, physical_min: 2, physical_max: 3, gain: 1 }] },
      ['channels[0].gain'],
    ],
    ['large provenance', { ...least, provenance: { text: 'x'.repeat(65_536) } }, ['provenance']],
    ...WRONG_PROVENANCE.map(([what, provenance, field]): [string, unknown, string[]] => [
      what,
      { ...least, provenance },
      [`provenance.${field}`],
    ]),
  ])('%s is refused and named', (_what, body, fields) => {
    expect(fieldsOf(() => create(body))).toEqual(fields);
  });

  test('a time that was written as a float past 2^53 is refused and the message says to send a string', () => {
    expect(() => create(regular({ start: 2 ** 60 }))).toThrow(
      expect.objectContaining({ message: expect.stringContaining('send it as a string') }),
    );
  });
});

test.each([
  ['int16', -32_768, -32_768],
  ['int64', '-9223372036854775808', -(2n ** 63n)],
  ['uint64', 0, 0n],
  ['float32', -9999.9, Math.fround(-9999.9)],
  ['float64', -9999.9, -9999.9],
])('the missing value of %s is one that its arrays hold', (dtype, said, held) => {
  const series = create({ ...least, dtype, missing_value: said });
  expect(series.missingValue).toBe(held);
});

describe('changing a series', () => {
  test('only what is said changes; null removes', () => {
    const body = { unit: null, tags: { a: null, b: 1 }, channels: [{}, { label: 'x' }] };
    expect(toSeriesPatch(parseWith(seriesPatch, body, 'body'))).toEqual({
      unit: null,
      tags: { a: null, b: 1 },
      channels: [{ label: 'ch0' }, { label: 'x' }],
    });
  });

  test('any key of the provenance can be removed, but nothing within one', () => {
    const removed = { instrument: null, software: null, subject: null, source: null, derived_from: null, rig: null };
    const { provenance } = toSeriesPatch(parseWith(seriesPatch, { provenance: removed }, 'body'));
    expect(provenance).toEqual(removed);
    const within = { provenance: { instrument: { serial: null }, rig: { door: null } } };
    expect(fieldsOf(() => parseWith(seriesPatch, within, 'body'))).toEqual(['provenance.instrument.serial']);
  });

  test.each(WRONG_PROVENANCE)('%s is refused and named', (_what, provenance, field) => {
    expect(fieldsOf(() => parseWith(seriesPatch, { provenance }, 'body'))).toEqual([`provenance.${field}`]);
  });

  test.each([
    [{ dtype: 'int8' }, ['dtype']],
    [{ name: null }, ['name']],
    [{ channels: 2 }, ['channels']],
    [{ rows: 5 }, ['rows']],
  ])('%j is refused and named', (body, fields) => {
    expect(fieldsOf(() => parseWith(seriesPatch, body, 'body'))).toEqual(fields);
  });
});

test.each([
  [null, [], null],
  ['mV', [], true],
  ['µV', ['°C'], true],
  ['beats', [], false],
  ['mV', ['K', 'lots'], false],
  [null, ['mV'], true],
])('of the unit %j and those of channels, %j, the answer says whether they are UCUM', (unit, own, isUcum) => {
  const channels = [{}, ...own.map((each) => ({ unit: each }))];
  expect(toSeriesAnswer({ ...SERIES, ...create({ ...least, unit, channels }), recording: null }).unit_is_ucum).toBe(
    isUcum,
  );
});

test('the answer has the shape that is documented', () => {
  const series: Series = {
    ...create(regular({ rate_hz: '30000/1001', start: '2026-05-01T09:00:00Z' })),
    recording: { id: '0198c5e0-0000-7000-8000-000000000002', name: 'mouse-12' },
    id: '0198c5e0-0000-7000-8000-000000000001',
    rows: 10,
    firstNs: 1_777_626_000_000_000_000n,
    lastNs: 1_777_626_000_500_000_001n,
    removed: 0,
    sealedAt: new Date('2026-05-01T12:00:00Z'),
    contentHash: { values: 'sha256:00', times: null, rows: 10, commit: 17n },
    commit: 17n,
    version: 2,
    createdAt: new Date('2026-05-01T10:00:00Z'),
    updatedAt: new Date('2026-05-01T11:00:00Z'),
  };
  const answer = toSeriesAnswer(series);
  expect(seriesAnswer.strict().parse(answer)).toEqual(answer);
  expect(answer).toMatchObject({
    sampling: { kind: 'regular', rate: '30000/1001', start: '2026-05-01T09:00:00Z' },
    rows: 10,
    first_time: '2026-05-01T09:00:00Z',
    last_time: '2026-05-01T09:00:00.500000001Z',
    removed: 0,
    commit: 17,
    version: 2,
    created_at: '2026-05-01T10:00:00.000Z',
  });
});
