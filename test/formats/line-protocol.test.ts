import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { DTYPES, type Dtype } from '../../src/core/numbers/dtype.ts';
import { TIME_MAX, TIME_MIN } from '../../src/core/time.ts';
import { isPlainKey, NameFault, readField, readKey, seriesNameOf } from '../../src/formats/line-protocol/line-names.ts';
import {
  MAX_LINE_SERIES,
  parseLines,
  type LineFault,
  type Precision,
} from '../../src/formats/line-protocol/line-parser.ts';
import { VALUE_KINDS } from '../../src/formats/line-protocol/line-points.ts';
import { modelRuns, PROPERTY_LIMIT_MS } from '../support/model-runs.ts';

const NOW = 1_777_593_600_000_000_001n;

interface Point {
  readonly series: string;
  readonly kind: string;
  readonly ns: bigint;
  readonly value: number | bigint | string;
  readonly line: number;
}

/** All points, series by series, as a reader would have them. */
function read(
  body: string | Uint8Array,
  precision: Precision = 'ns',
): { points: Point[]; count: number; first: readonly LineFault[] } {
  const { refused, names, nameEnds, kinds, rows, times, lines, values, valuesAt, texts } = parseLines(
    Buffer.from(body),
    { precision, nowNs: NOW },
  );
  const points: Point[] = [];
  let [row, text] = [0, 0];
  rows.forEach((count, at) => {
    const from = at === 0 ? 0 : nameEnds[at * 2 - 1];
    const part = (a: number, b: number): string => Buffer.from(names.subarray(a, b)).toString();
    const key = part(from, nameEnds[at * 2]);
    const field = part(nameEnds[at * 2], nameEnds[at * 2 + 1]);
    const kind = VALUE_KINDS[kinds[at]];
    const array = kind === 'text' ? null : new DTYPES[kind as Dtype].array(values.slice(valuesAt[at]).buffer, 0, count);
    for (let i = 0; i < count; i++, row++) {
      const value = array ? array[i] : texts[text++];
      points.push({ series: `${key} ${field}`, kind, ns: times[row], value, line: lines[row] });
    }
  });
  return { points, count: refused.count, first: refused.first };
}

const one = (line: string, precision?: Precision): Point => {
  const { points, count } = read(line, precision);
  expect({ line, points: points.length, count }).toEqual({ line, points: 1, count: 0 });
  return points[0];
};
const reason = (line: string): string => {
  const { points, count, first } = read(`before v=1 1\n${line}\nafter v=2 2`);
  expect({ line, values: points.map(({ value }) => value), count }).toEqual({ line, values: [1, 2], count: 1 });
  expect(first[0].line).toBe(2);
  return first[0].reason;
};

describe('values of lines', () => {
  test.each([
    ['1', 1],
    ['1.', 1],
    ['.5', 0.5],
    ['-1.5e-3', -0.0015],
    ['+2.50', 2.5],
    ['0.1', 0.1],
    ['1E22', 1e22],
    ['1e-400', 0],
    ['4.9406564584124654e-324', 5e-324],
    ['1.7976931348623157e308', Number.MAX_VALUE],
    ['123456789012345678901234567890', Number('123456789012345678901234567890')],
    ['0.000000000000000000000000000000012345', 1.2345e-32],
    ['9007199254740993', 2 ** 53],
    ['0.30000000000000004', 0.30000000000000004],
  ])('%s is a float64 of exactly that', (text, value) => {
    expect(one(`m f=${text} 1`)).toMatchObject({ kind: 'float64', value });
  });

  test('minus zero keeps its sign', () => {
    expect(Object.is(one('m f=-0 1').value, -0)).toBe(true);
  });

  test.each([
    ['0i', 'int64', 0n],
    ['-0i', 'int64', 0n],
    ['-1i', 'int64', -1n],
    ['4294967296i', 'int64', 4294967296n],
    ['-4294967296i', 'int64', -4294967296n],
    ['999999999999999i', 'int64', 999999999999999n],
    ['-9007199254740993i', 'int64', -9007199254740993n],
    ['9223372036854775807i', 'int64', 9223372036854775807n],
    ['-9223372036854775808i', 'int64', -9223372036854775808n],
    ['000000000000000000000000007i', 'int64', 7n],
    ['18446744073709551615u', 'uint64', 18446744073709551615n],
    ['t', 'uint8', 1],
    ['TRUE', 'uint8', 1],
    ['False', 'uint8', 0],
    ['F', 'uint8', 0],
    ['""', 'text', ''],
    [String.raw`"a \"b\" \\ \n, c=d"`, 'text', String.raw`a "b" \ \n, c=d`],
    ['"two\nlines"', 'text', 'two\nlines'],
  ])('%s is a %s', (text, kind, value) => {
    expect(one(`m f=${text} 1`)).toMatchObject({ kind, value });
  });

  test.each([
    ['ns', '1', 1n],
    ['ns', '-1', -1n],
    ['ns', '1777593600123456789', 1_777_593_600_123_456_789n],
    ['ns', '0000000000000000000000000005', 5n],
    ['us', '1777593600123456', 1_777_593_600_123_456_000n],
    ['us', '-7', -7_000n],
    ['ms', '1777593600123', 1_777_593_600_123_000_000n],
    ['s', '-1', -1_000_000_000n],
    ['m', '29626560', 1_777_593_600_000_000_000n],
    ['h', '493776', 1_777_593_600_000_000_000n],
    ['ns', String(TIME_MIN), TIME_MIN],
    ['ns', String(TIME_MAX), TIME_MAX],
  ] as const)('a time in %s, %s, is exact', (precision, text, ns) => {
    expect(one(`m f=1 ${text}`, precision).ns).toBe(ns);
  });

  test('a line without a time has the one of the server, of every precision', () => {
    expect(one('m f=1').ns).toBe(NOW);
    expect(one('m f=1 ', 's').ns).toBe(NOW);
  });
});

describe('lines', () => {
  test('end with LF or CRLF, and empty ones and remarks count but are not read', () => {
    const { points, count } = read('\uFEFFa f=1 1\r\n\n  \t\n# remark "\n  b f="x" 2 \r\n\r\nc f=t\r\n');
    expect(count).toBe(0);
    expect(points.map(({ series, line }) => [series, line])).toEqual([
      ['a f', 1],
      ['b f', 5],
      ['c f', 7],
    ]);
  });

  test.each([
    ['m', 'missing fields'],
    ['m ', 'missing fields'],
    ['m,t=a', 'missing fields'],
    ['m f', 'missing field value'],
    ['m f=', 'missing field value'],
    ['m f=1,', 'missing field key'],
    ['m f=1,=2', 'missing field key'],
    ['m f=,g=1', 'missing field value'],
    [',t=a f=1', 'missing measurement'],
    ['m, f=1', 'missing tag key'],
    ['m,=a f=1', 'missing tag key'],
    ['m,t f=1', 'missing tag value'],
    ['m,t= f=1', 'missing tag value'],
    ['m,t=a=b f=1', 'invalid tag format: an equals sign in a tag needs a backslash'],
    ['m,t=a,t=b f=1', 'duplicate tags'],
    ['m,é=a,e\u0301=b f=1', 'duplicate tags'],
    ['m f=1,f=2', 'duplicate fields'],
    ['m f=1,f="x"', 'duplicate fields'],
    ['m,_field=a f=1', 'the tag key _field is reserved'],
    ['m,_type=a f=1', 'the tag key _type is reserved'],
    ['m,__proto__=a f=1', 'the tag key __proto__ is not possible'],
    ['m\u0007 f=1', 'control characters in a measurement'],
    ['m f\u0000=1', 'control characters in a field key'],
    ['m f=nan', 'invalid field value'],
    ['m f=-Inf', 'invalid number'],
    ['m f=1e400', 'a number that no float64 holds'],
    ['m f=1e', 'invalid number'],
    ['m f=-', 'invalid number'],
    ['m f=1_000', 'invalid number'],
    ['m f=0x10', 'invalid number'],
    ['m f=1.5i', 'invalid number'],
    ['m f=i', 'invalid field value'],
    ['m f=-1u', 'an unsigned integer below zero'],
    ['m f=9223372036854775808i', 'an integer that no int64 holds'],
    ['m f=18446744073709551616u', 'an integer that no uint64 holds'],
    ['m f=100000000000000000000000i', 'an integer that no int64 holds'],
    ['m f=truth', 'invalid boolean'],
    ['m f=tRUE', 'invalid boolean'],
    ['m f=x', 'invalid field value'],
    ['m f="', 'unbalanced quotes'],
    ['m f="a', 'unbalanced quotes'],
    [String.raw`m f="a\"`, 'unbalanced quotes'],
    ['m f="a"b', 'unbalanced quotes'],
    ['m f="a\u0000"', 'a NUL character in a text'],
    ['m f=1 now', 'bad timestamp'],
    ['m f=1 1.5', 'bad timestamp'],
    ['m f=1 -', 'bad timestamp'],
    ['m f=1 1 2', 'bad timestamp'],
    [`m f=1 ${TIME_MAX + 1n}`, 'time outside range: it must lie in the years 1678 to 2261'],
    [`m f=1 ${TIME_MIN - 1n}`, 'time outside range: it must lie in the years 1678 to 2261'],
    ['m f=1 99999999999999999999999999', 'time outside range: it must lie in the years 1678 to 2261'],
    [`m f="${'x'.repeat(65_537)}"`, 'a text of more than 65536 bytes'],
    [`m,t=${'x'.repeat(4_097)} f=1`, 'a tag value of more than 4096 characters'],
    [`m${Array.from({ length: 254 }, (_, i) => `,t${i}=a`).join('')} f=1`, 'more than 253 tags'],
    [`m ${Array.from({ length: 150_000 }, (_, i) => `f${i % 40}x=1`).join()}`, 'duplicate fields'],
  ])('%#. one that is broken says why, and its neighbours are read', (line, why) => {
    expect(reason(line)).toBe(why);
  });

  test('one of more than a mebibyte is refused, and one of a megabyte is read', () => {
    const long = (count: number): string =>
      `m ${Array.from({ length: count }, (_, i) => `f${100_000 + i}=${'1'.repeat(90)}`).join()}`;
    expect(read(long(10_000)).points).toHaveLength(10_000);
    expect(reason(long(11_000))).toMatch(/^longer than 1048576 bytes/);
  });

  test('bytes that are no UTF-8 are one line alone, and nobody sees a value of it', () => {
    const body = Buffer.concat([
      Buffer.from('a f=1 1\nb,t='),
      Buffer.from([0xff, 0xc3]),
      Buffer.from(' f=2 2\nc,t=é f=3 3'),
    ]);
    const { points, first } = read(body);
    expect(points.map(({ series }) => series)).toEqual(['a f', 'c,t=é f']);
    expect(first).toEqual([{ line: 2, text: 'b,t=  f=2 2', reason: 'is no UTF-8 text' }]);
  });

  test('a text that is not closed does not take later lines along, nor one that a later quote would close', () => {
    expect(read('a f="x\nb f=1 1\nc f="y" 2').points.map(({ series }) => series)).toEqual(['b f', 'c f']);
    expect(read('a f=1,g="x\nb f="y",h=1 1').points.map(({ series }) => series)).toEqual(['b f', 'b h']);
  });

  test('lines within a text of a refused line are none', () => {
    const { points, count, first } = read('a f="x\nb f=1 1\n",g=? 5\nc f=1,h="\nd f=1\n" never\ne f=1');
    expect(points.map(({ series, line }) => [series, line])).toEqual([['e f', 7]]);
    expect(count).toBe(2);
    expect(first.map(({ line }) => line)).toEqual([1, 4]);
  });

  test('refused lines are counted, the first are told, cut where they are long', () => {
    const { count, first } = read(Array.from({ length: 50 }, (_, i) => `m${i} ${'x'.repeat(1000)}`).join('\n'));
    expect(count).toBe(50);
    expect(first).toHaveLength(10);
    expect(first[9].text).toMatch(/^m9 x{97}\.\.\.$/);
  });

  test('of one series in the order of the lines, of one line all at one time', () => {
    const { points } = read('m,t=a f=1,g=2i 3\nm,t=b f=9 2\nm,t=a g=4i,f=3 1');
    expect(points).toEqual([
      { series: 'm,t=a f', kind: 'float64', ns: 3n, value: 1, line: 1 },
      { series: 'm,t=a f', kind: 'float64', ns: 1n, value: 3, line: 3 },
      { series: 'm,t=a g', kind: 'int64', ns: 3n, value: 2n, line: 1 },
      { series: 'm,t=a g', kind: 'int64', ns: 1n, value: 4n, line: 3 },
      { series: 'm,t=b f', kind: 'float64', ns: 2n, value: 9, line: 2 },
    ]);
  });

  test('more series than are read at once are refused as a whole, whether their lines are good or not', () => {
    for (const line of [(i: number) => `m,t=${i} f=1`, (i: number) => `m f${i}=1`, (i: number) => `m,t=${i},t=2 f=1`]) {
      const body = Array.from({ length: MAX_LINE_SERIES + 1 }, (_, i) => line(i)).join('\n');
      expect(() => read(body)).toThrow(`more than ${MAX_LINE_SERIES} series`);
    }
  });
});

describe('names of lines', () => {
  test.each([
    ['cpu', 'usage', 'cpu:usage'],
    ['cpu,host=a,cpu=0', 'usage', 'cpu,cpu=0,host=a:usage'],
    [String.raw`my\ cpu\,2,a\ b=c\,d\=e`, String.raw`f\=g\ h`, String.raw`my\ cpu\,2,a\ b=c\,d\=e:f\=g\ h`],
    ['cpu,at=10:30', 'a:b', String.raw`cpu,at=10:30:a\:b`],
    [String.raw`C:\dir,p=\\x`, String.raw`\f`, String.raw`C:\dir,p=\\x:\f`],
  ])('%s %s is %s', (key, field, name) => {
    expect(seriesNameOf(readKey(key), readField(field))).toBe(name);
  });

  test('a second series of another type says so', () => {
    expect(seriesNameOf(readKey('cpu,host=a'), 'usage', 'int64')).toBe('cpu,_type=int64,host=a:usage');
  });

  test('that are too long end in a hash, and stay apart', () => {
    const names = ['a', 'b'].map((end) => seriesNameOf(readKey(`m,t=${'x'.repeat(600)}${end}`), 'f'));
    for (const name of names) expect(name).toMatch(/^m,t=x+~[0-9a-f]{32}$/);
    expect(names.map((name) => name.length)).toEqual([512, 512]);
    expect(new Set(names).size).toBe(2);
  });
});

/** Names, values and times of every kind, written as a client does. */
const text = fc
  .string({ unit: 'grapheme', minLength: 1, maxLength: 8 })
  .filter((each) => !/\p{Cc}/u.test(each) && !each.endsWith('\\'));
const word = fc.oneof(
  text,
  fc
    .string({ unit: fc.constantFrom(',', '=', ' ', '\\', '"', ':', 'a', '#'), minLength: 1, maxLength: 6 })
    .map((each) => `${each}x`),
);
const escaped = (name: string): string => name.replaceAll(/[,= ]/g, String.raw`\$&`);
const value = fc.oneof(
  fc
    .double({ noNaN: true, noDefaultInfinity: true })
    .map((given) => ({ kind: 'float64', given, text: Object.is(given, -0) ? '-0' : String(given) })),
  fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }).map((given) => ({ kind: 'int64', given, text: `${given}i` })),
  fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }).map((given) => ({ kind: 'uint64', given, text: `${given}u` })),
  fc.boolean().map((given) => ({ kind: 'uint8', given: given ? 1 : 0, text: String(given) })),
  fc
    .string({ unit: 'grapheme' })
    .filter((each) => !each.includes('\0'))
    .map((given) => ({
      kind: 'text',
      given,
      text: `"${given.replaceAll(/["\\]/g, String.raw`\$&`)}"`,
    })),
);
const line = fc
  .record({
    measurement: word.filter((each) => !each.startsWith('#')),
    tags: fc.uniqueArray(fc.tuple(word, word), { maxLength: 3, selector: ([key]) => key.normalize('NFC') }),
    fields: fc.uniqueArray(fc.tuple(word, value), { minLength: 1, maxLength: 3, selector: ([key]) => key }),
    ns: fc.bigInt({ min: TIME_MIN, max: TIME_MAX }),
  })
  .map(({ measurement, tags, fields, ns }) => {
    const key =
      measurement.replaceAll(/[, ]/g, String.raw`\$&`) + tags.map(([k, v]) => `,${escaped(k)}=${escaped(v)}`).join('');
    return {
      key,
      measurement,
      tags,
      fields,
      ns,
      text: `${key} ${fields.map(([k, v]) => `${escaped(k)}=${v.text}`).join()} ${ns}`,
    };
  });
const RUNS = modelRuns(100);

describe('whatever is written', () => {
  test(
    'comes back as it was: names, values bit for bit, times',
    () => {
      fc.assert(
        fc.property(fc.array(line, { minLength: 1, maxLength: 8 }), (lines) => {
          const { points, count } = read(lines.map((each) => each.text).join('\n'));
          expect(count).toBe(0);
          const sent = lines.flatMap(({ key, fields, ns }) =>
            fields.map(([field, { kind, given }]) => ({ series: `${key} ${escaped(field)}`, kind, ns, value: given })),
          );
          const inOrder = (all: readonly Omit<Point, 'line'>[]): string[] =>
            all
              .map((each) => `${each.series} ${each.kind} ${each.ns} ${Object.is(each.value, -0) ? '-0' : each.value}`)
              .sort();
          expect(inOrder(points)).toEqual(inOrder(sent));
          for (const { key, measurement, tags, fields } of lines) {
            expect(readKey(key)).toEqual({ measurement, tags });
            for (const [field] of fields) expect(readField(escaped(field))).toBe(field);
          }
        }),
        { numRuns: RUNS, interruptAfterTimeLimit: PROPERTY_LIMIT_MS },
      );
    },
    PROPERTY_LIMIT_MS * 2,
  );

  test(
    'is read or refused line by line, and a line with anything in it leaves its neighbours alone',
    () => {
      const bytes = fc.oneof(
        fc.uint8Array({ maxLength: 60 }),
        line.chain(({ text: good }) =>
          fc
            .tuple(fc.nat(good.length), fc.nat(good.length), fc.string({ unit: 'binary', maxLength: 3 }))
            .map(([a, b, more]) => Buffer.from(good.slice(0, a) + more + good.slice(b))),
        ),
        fc
          .string({
            unit: fc.constantFrom('m', ' ', ',', '=', '"', '\\', '1', 'i', 't', '-', '.', 'e', '\r'),
            maxLength: 30,
          })
          .map((each) => Buffer.from(each)),
      );
      fc.assert(
        fc.property(bytes, (middle) => {
          const body = Buffer.concat([
            Buffer.from('before v=1 1\n'),
            Buffer.from(middle.filter((byte) => byte !== 10)),
            Buffer.from('\nafter v=2i 2'),
          ]);
          const { points, count, first } = read(body);
          const names = points.map(({ series }) => series);
          expect(names[0]).toBe('before v');
          expect(names).toContain('after v');
          expect(count).toBeLessThanOrEqual(1);
          if (count === 1) {
            expect(points).toHaveLength(2);
            expect(first[0]).toMatchObject({ line: 2, reason: expect.stringMatching(/./) });
          }
        }),
        { numRuns: RUNS * 5, interruptAfterTimeLimit: PROPERTY_LIMIT_MS },
      );
    },
    PROPERTY_LIMIT_MS * 2,
  );

  test(
    'in several broken lines ends, counts all of them and stores no number that was not sent',
    () => {
      const piece = fc.constantFrom(
        'm',
        ' f=',
        'f="',
        '"',
        '\n',
        '\\',
        ',',
        '=',
        '1',
        '2i',
        't=a',
        ' ',
        '\r\n',
        '#',
        '\uFEFF',
        '😀',
      );
      fc.assert(
        fc.property(fc.array(piece, { maxLength: 60 }), (pieces) => {
          const { points, count, first } = read(pieces.join(''));
          expect(first.length).toBe(Math.min(count, 10));
          for (const { value: found } of points) {
            if (typeof found === 'bigint') expect(String(found)).toMatch(/^[12]+$/);
            else if (typeof found === 'number') expect(String(found)).toMatch(/^[12]+$|e\+/);
          }
        }),
        { numRuns: RUNS * 5, interruptAfterTimeLimit: PROPERTY_LIMIT_MS },
      );
    },
    PROPERTY_LIMIT_MS * 2,
  );

  test(
    'names that are taken for plain ones are names',
    () => {
      const key = fc.string({
        unit: fc.constantFrom('a', 'b', 'c', ',', '=', '_', '~', 'é', ' ', '\\'),
        maxLength: 12,
      });
      fc.assert(
        fc.property(key, (sent) => {
          const bytes = Buffer.from(sent);
          if (isPlainKey(bytes, 0, bytes.length)) expect(readKey(sent).measurement).not.toBe('');
        }),
        { numRuns: RUNS * 10, interruptAfterTimeLimit: PROPERTY_LIMIT_MS },
      );
      const isPlain = (text: string): boolean => isPlainKey(Buffer.from(text), 0, text.length);
      for (const plain of ['m', 'm,a=1', 'm,a=1,b=2', 'cpu,cpu=cpu0,host=10.0.0.1:80']) {
        expect([plain, isPlain(plain)]).toEqual([plain, true]);
      }
      for (const other of ['', 'm,', 'm,a', 'm,a=', 'm,b=1,a=2', 'm,a=1,a=2', 'm,ab=1,a=2', 'm,_field=1', 'm,a=b=c']) {
        expect([other, isPlain(other)]).toEqual([other, false]);
      }
    },
    PROPERTY_LIMIT_MS * 2,
  );

  test(
    'names of different series are different',
    () => {
      // So few characters that names often are the same, or nearly.
      const few = fc.string({ unit: fc.constantFrom(':', ',', 'a', '='), minLength: 1, maxLength: 3 });
      const tags = fc.uniqueArray(fc.tuple(few, few), { maxLength: 2, selector: ([key]) => key });
      const short = fc.record({ measurement: few, tags, field: few });
      fc.assert(
        fc.property(short, short, (a, b) => {
          const nameOf = ({ measurement, tags, field }: typeof a): string => seriesNameOf({ measurement, tags }, field);
          const meaning = ({ measurement, tags, field }: typeof a): string =>
            JSON.stringify([measurement, tags.map((tag) => tag.join('\n')).sort(), field]);
          expect(nameOf(a) === nameOf(b)).toBe(meaning(a) === meaning(b));
        }),
        { numRuns: RUNS * 10, interruptAfterTimeLimit: PROPERTY_LIMIT_MS },
      );
      expect(() => readKey('')).toThrow(NameFault);
    },
    PROPERTY_LIMIT_MS * 2,
  );
});
