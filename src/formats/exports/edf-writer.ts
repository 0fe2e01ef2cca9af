/**
 * EDF+ files: 16-bit signals in records of one duration, with annotations.
 * @see https://www.edfplus.info/specs/edf.html and https://www.edfplus.info/specs/edfplus.html
 */
import { calibrationOf } from '../../core/signal/calibration.ts';
import { gcd, ratio, times, type Ratio } from '../../core/numbers/ratio.ts';
import { nsOfRow } from '../../core/signal/rate.ts';
import type { Annotation, Channel } from '../../core/signal/series.ts';
import { NS_PER_S } from '../../core/time.ts';
import { exactDecimal, exactMap, mapped } from './exact-decimal.ts';
import {
  exportedRows,
  integersOf,
  rateText,
  signalLabel,
  SampleQueue,
  wouldLose,
  type ExportedSeries,
  type ExportPlan,
} from './exported-series.ts';

const HEADER_BYTES = 256;
/** Header bytes of a signal are as many again. */
const NUMBER_WIDTH = 8;
const LABEL_WIDTH = 16;
const TEXT_WIDTH = 80;
const RESERVED_WIDTH = 32;
const ANNOTATIONS = 'EDF Annotations';
/** EdfRecords should be no larger: section 2.2 of the specification. */
const MOST_RECORD_BYTES = 61_440;
/** The time of each is in memory. As many seconds are eleven days. */
const MOST_RECORDS = 1_000_000;
const DTYPES_HELD = ['int8', 'uint8', 'int16'] as const;
const [LEAST, MOST] = [-32_768, 32_767];
/** Digital ends that are tried inwards until the physical ones have a text of eight characters. */
const ENDS_TRIED = 4_096;
/** Years that the two digits of the header's date stand for. */
const FIRST_YEAR = 1985;
const LAST_YEAR = 2084;
/** Lengths of a record that are tried, for what is told of a refusal. */
const MOST_TRIED_LENGTHS = 10_000;
const WRITE_BYTES = 1024 * 1024;
const [TEXT_END, LENGTH_MARK, LIST_END] = ['\x14', '\x15', '\0'];

interface Signal {
  readonly label: string;
  readonly unit: string;
  readonly physical: readonly [string, string];
  readonly digital: readonly [number, number];
  readonly filtering: string;
  readonly transducer: string;
  readonly samples: number;
}

interface EdfRecords {
  /** Seconds of one. */
  readonly duration: string;
  readonly durationNs: bigint;
  /** Rows of each series in one. */
  readonly rows: readonly number[];
  /** How many each span has, which begins at its start. */
  readonly spans: ReadonlyArray<{ readonly startNs: bigint; readonly records: number }>;
}

/**
 * One file of series that are recorded at the same times. Gaps make it discontinuous (EDF+D).
 * @param name of the file, without its extension
 * @throws unprocessable `would-lose` naming the series and what EDF+ has no place for
 */
export function planEdf(sources: readonly ExportedSeries[], name: string): ExportPlan {
  const records = recordsOf(sources);
  const signals = sources.flatMap((source, at) =>
    source.series.channels.map((channel, c) => signalOf(source, channel, c, records.rows[at])),
  );
  const startNs = startOf(sources[0], records.spans[0].startNs);
  const texts = annotationTexts(sources, records, startNs);
  const header = headerOf(signals, records, startNs, texts.bytes, sources[0].series.timeReference === 'relative');
  return {
    parts: [{ name: `${name}.edf`, write: () => edfBytes(sources, signals, records, header, texts) }],
    notes: notesOf(sources),
  };
}

function notesOf(sources: readonly ExportedSeries[]): string[] {
  const marks = sources.flatMap(({ annotations }) => annotations);
  const payloads = marks.filter(({ payload }) => Object.keys(payload).length > 0).length;
  return [
    'tags, descriptions and provenance are not in an EDF+ file',
    ...(payloads > 0 ? [`the payloads of ${payloads} annotations are not in an EDF+ file, their labels are`] : []),
  ];
}

/** Divides all spans into records of one duration, near a second. */
function recordsOf(sources: readonly ExportedSeries[]): EdfRecords {
  const [first, ...others] = sources;
  for (const other of others) {
    const isAlike =
      other.spans.length === first.spans.length &&
      other.spans.every(({ startNs, rows }, i) => {
        const span = first.spans[i];
        return startNs === span.startNs && nsOfRow(other.rate, rows) === nsOfRow(first.rate, span.rows);
      });
    if (!isAlike) {
      const { name } = other.series;
      throw wouldLose(name, `is not recorded at the same times as ${first.series.name}: export them one by one`);
    }
  }
  // The shortest record in which each series has a whole number of rows …
  const shortest = sources.map(({ rate }) => ratio(rate.den, rate.num)).reduce(leastCommonMultiple);
  const least = sources.map(({ rate }) => Number(times(shortest, { num: rate.num, den: rate.den }).num));
  // … and how many of these fit into every span.
  const fit = Number(first.spans.reduce((divisor, { rows }) => gcd(divisor, BigInt(rows)), 0n));
  if (fit % least[0] !== 0) {
    throw wouldLose(first.series.name, 'has spans that no record of one duration divides, together with the others');
  }
  const bytes = sources.reduce((sum, { series }, i) => sum + 2 * series.channels.length * least[i], 0);
  const shortestRecords = exportedRows(first) / least[0];
  const parts = divisorsOf(fit / least[0])
    .filter((by) => by === 1 || bytes * by <= MOST_RECORD_BYTES)
    .filter((by) => shortestRecords / by <= MOST_RECORDS);
  if (parts.length === 0) {
    throw wouldLose(first.series.name, `would have more than ${MOST_RECORDS} records: export a range`);
  }
  const seconds = (by: number): number => (Number(shortest.num) / Number(shortest.den)) * by;
  const nearest = parts.sort((a, b) => Math.abs(Math.log(seconds(a))) - Math.abs(Math.log(seconds(b))));
  for (const by of nearest) {
    const length = recordLength(shortest, by);
    if (!length) continue;
    const rows = least.map((each) => each * by);
    const spans = first.spans.map((span) => ({ startNs: span.startNs, records: span.rows / rows[0] }));
    return { ...length, rows, spans };
  }
  const rate = rateText(first.rate);
  for (let by = 1; by <= MOST_TRIED_LENGTHS; by++) {
    if (!recordLength(shortest, by)) continue;
    const message = `has a run of rows at ${rate} that is no multiple of ${by * least[0]}, as EDF+ records have there: choose start and end so that it is`;
    throw wouldLose(first.series.name, message);
  }
  throw wouldLose(first.series.name, `has the rate ${rate}: no record of it has a duration of eight characters`);
}

/** @returns null if its seconds are no decimal of eight characters, or no whole number of nanoseconds */
function recordLength(shortest: Ratio, by: number): Pick<EdfRecords, 'duration' | 'durationNs'> | null {
  const exact = times(shortest, ratio(BigInt(by)));
  const duration = exactDecimal(exact, NUMBER_WIDTH);
  const ns = times(exact, ratio(NS_PER_S));
  return duration === null || ns.den !== 1n ? null : { duration, durationNs: ns.num };
}

function leastCommonMultiple(a: Ratio, b: Ratio): Ratio {
  const num = a.num * (b.num / gcd(a.num, b.num));
  return ratio(num, gcd(a.den, b.den));
}

function divisorsOf(value: number): number[] {
  const found: number[] = [];
  for (let by = 1; by * by <= value; by++) if (value % by === 0) found.push(by, value / by);
  return found;
}

function signalOf({ series }: ExportedSeries, channel: Channel, at: number, samples: number): Signal {
  const { name, dtype } = series;
  if (!DTYPES_HELD.includes(dtype as (typeof DTYPES_HELD)[number])) {
    throw wouldLose(name, `is ${dtype}; EDF+ holds integers of 16 bits`);
  }
  const label = fitting(name, 'label', signalLabel(series, at), LABEL_WIDTH);
  const unit = fitting(name, 'unit', asciiUnit(channel.unit ?? series.unit ?? ''), NUMBER_WIDTH);
  const filtering = fitting(name, 'filtering', channel.filtering ?? '', TEXT_WIDTH);
  const { transducer = '' } = channel.info ?? {};
  const sensor = fitting(name, 'transducer', String(transducer), TEXT_WIDTH);
  return { label, unit, filtering, transducer: sensor, samples, ...rangesOf(series, channel) };
}

/** Texts of the digital and the physical range that say the very calibration. */
function rangesOf(
  series: ExportedSeries['series'],
  channel: Channel,
): { digital: readonly [number, number]; physical: readonly [string, string] } {
  const calibration = calibrationOf(series, channel);
  const map = exactMap(calibration, channel);
  const lows = calibration.form === 'ranges' ? [channel.digital_min!] : inwards(LEAST, 1);
  const highs = calibration.form === 'ranges' ? [channel.digital_max!] : inwards(MOST, -1);
  const low = lows.find((stored) => exactDecimal(mapped(map, stored), NUMBER_WIDTH) !== null);
  const high = highs.find((stored) => exactDecimal(mapped(map, stored), NUMBER_WIDTH) !== null);
  if (low === undefined || high === undefined || map.slope.num === 0n) {
    throw wouldLose(
      series.name,
      `has a calibration of ${channel.label} that two numbers of eight characters do not say`,
    );
  }
  const text = (stored: number): string => exactDecimal(mapped(map, stored), NUMBER_WIDTH)!;
  return { digital: [low, high], physical: [text(low), text(high)] };
}

function inwards(from: number, step: number): number[] {
  return Array.from({ length: ENDS_TRIED }, (_, i) => from + i * step);
}

/** EDF is ASCII, and spells these two so. */
function asciiUnit(unit: string): string {
  return unit.replace(/[µμ]/g, 'u').replace(/[ΩΩ]/g, 'Ohm');
}

function fitting(series: string, what: string, text: string, width: number): string {
  if (/^[\x20-\x7e]*$/.test(text) && text.length <= width) return text;
  throw wouldLose(series, `has the ${what} ${JSON.stringify(text)}; EDF+ holds ${width} characters of ASCII`);
}

/** The header's start: whole seconds. Times that only count from the start of a recording begin in 1985. */
function startOf({ series }: ExportedSeries, firstNs: bigint): bigint {
  if (series.timeReference === 'relative') return firstNs - modulo(firstNs, NS_PER_S);
  const year = new Date(Number(firstNs / 1_000_000n)).getUTCFullYear();
  if (year < FIRST_YEAR || year > LAST_YEAR) {
    throw wouldLose(series.name, `begins in ${year}; EDF+ has dates from ${FIRST_YEAR} to ${LAST_YEAR}`);
  }
  return firstNs - modulo(firstNs, NS_PER_S);
}

function modulo(value: bigint, by: bigint): bigint {
  return ((value % by) + by) % by;
}

interface AnnotationTexts {
  /** Bytes that every record has for them. */
  readonly bytes: number;
  /** Lists of each record. */
  readonly lists: readonly Buffer[];
}

/** Spreads the annotations over the records, each of which says its own time first. */
function annotationTexts(
  sources: readonly ExportedSeries[],
  { spans, durationNs }: EdfRecords,
  startNs: bigint,
): AnnotationTexts {
  const times = spans.flatMap(({ startNs: from, records }) =>
    Array.from({ length: records }, (_, i) => secondsText(from + BigInt(i) * durationNs - startNs)),
  );
  const heads = times.map((time) => Buffer.from(`${time}${TEXT_END}${TEXT_END}${LIST_END}`));
  const marks = sources
    .flatMap(({ annotations }) => annotations)
    .sort((a, b) => (a.startNs < b.startNs ? -1 : a.startNs > b.startNs ? 1 : 0))
    .map((mark) => Buffer.from(markText(sources[0], mark, startNs)));
  const longest = heads.reduce((most, { length }) => Math.max(most, length), 0);
  let bytes = even(longest + Math.ceil(marks.reduce((sum, { length }) => sum + length, 0) / heads.length));
  for (;;) {
    const lists = packed(heads, marks, bytes);
    if (lists) return { bytes, lists };
    bytes = even(Math.ceil(bytes * 1.25) + 2);
  }
}

function even(bytes: number): number {
  return bytes + (bytes % 2);
}

/** @returns null if they do not all fit */
function packed(heads: readonly Buffer[], marks: readonly Buffer[], bytes: number): Buffer[] | null {
  let at = 0;
  const lists = heads.map((head) => {
    const own = [head];
    let left = bytes - head.length;
    while (at < marks.length && marks[at].length <= left) {
      left -= marks[at].length;
      own.push(marks[at++]);
    }
    return Buffer.concat(own);
  });
  return at === marks.length ? lists : null;
}

function markText({ series }: ExportedSeries, { startNs: from, endNs, label }: Annotation, startNs: bigint): string {
  if ([TEXT_END, LENGTH_MARK, LIST_END].some((mark) => label.includes(mark)))
    throw wouldLose(series.name, `has an annotation whose label ${JSON.stringify(label)} has marks of EDF+ in it`);
  const length = endNs > from ? `${LENGTH_MARK}${secondsText(endNs - from).slice(1)}` : '';
  return `${secondsText(from - startNs)}${length}${TEXT_END}${label}${TEXT_END}${LIST_END}`;
}

/** Seconds with a sign and as many digits as it takes. */
function secondsText(ns: bigint): string {
  const size = ns < 0n ? -ns : ns;
  const part = String(size % NS_PER_S)
    .padStart(9, '0')
    .replace(/0+$/, '');
  return `${ns < 0n ? '-' : '+'}${size / NS_PER_S}${part === '' ? '' : `.${part}`}`;
}

const MONTHS = ['JAN', 'FEB', 'MAR', 'APR', 'MAY', 'JUN', 'JUL', 'AUG', 'SEP', 'OCT', 'NOV', 'DEC'];

function headerOf(
  signals: readonly Signal[],
  { duration, spans }: EdfRecords,
  startNs: bigint,
  annotationBytes: number,
  isRelative: boolean,
): Buffer {
  const records = spans.reduce((sum, each) => sum + each.records, 0);
  const date = isRelative ? new Date(Date.UTC(FIRST_YEAR, 0, 1)) : new Date(Number(startNs / 1_000_000n));
  const two = (value: number): string => String(value % 100).padStart(2, '0');
  const day = two(date.getUTCDate());
  const startDate = isRelative ? 'X' : `${day}-${MONTHS[date.getUTCMonth()]}-${date.getUTCFullYear()}`;
  const all: readonly Signal[] = [
    ...signals,
    {
      label: ANNOTATIONS,
      unit: '',
      physical: ['-1', '1'],
      digital: [LEAST, MOST],
      filtering: '',
      transducer: '',
      samples: annotationBytes / 2,
    },
  ];
  const fields: (readonly [number | string, number])[] = [
    [0, NUMBER_WIDTH],
    ['X X X X', TEXT_WIDTH],
    [`Startdate ${startDate} X X X`, TEXT_WIDTH],
    [`${day}.${two(date.getUTCMonth() + 1)}.${two(date.getUTCFullYear())}`, NUMBER_WIDTH],
    [[date.getUTCHours(), date.getUTCMinutes(), date.getUTCSeconds()].map(two).join('.'), NUMBER_WIDTH],
    [HEADER_BYTES * (1 + all.length), NUMBER_WIDTH],
    [spans.length > 1 ? 'EDF+D' : 'EDF+C', 44],
    [records, NUMBER_WIDTH],
    [duration, NUMBER_WIDTH],
    [all.length, 4],
    ...all.map(({ label }) => [label, LABEL_WIDTH] as const),
    ...all.map(({ transducer }) => [transducer, TEXT_WIDTH] as const),
    ...all.map(({ unit }) => [unit, NUMBER_WIDTH] as const),
    ...all.map(({ physical }) => [physical[0], NUMBER_WIDTH] as const),
    ...all.map(({ physical }) => [physical[1], NUMBER_WIDTH] as const),
    ...all.map(({ digital }) => [digital[0], NUMBER_WIDTH] as const),
    ...all.map(({ digital }) => [digital[1], NUMBER_WIDTH] as const),
    ...all.map(({ filtering }) => [filtering, TEXT_WIDTH] as const),
    ...all.map(({ samples }) => [samples, NUMBER_WIDTH] as const),
    ...all.map(() => ['', RESERVED_WIDTH] as const),
  ];
  return Buffer.from(fields.map(([value, width]) => String(value).padEnd(width)).join(''), 'latin1');
}

async function* edfBytes(
  sources: readonly ExportedSeries[],
  signals: readonly Signal[],
  { rows }: EdfRecords,
  header: Buffer,
  { bytes, lists }: AnnotationTexts,
): AsyncGenerator<Uint8Array> {
  yield header;
  const size = signals.reduce((sum, { samples }) => sum + 2 * samples, bytes);
  const together = Math.max(1, Math.floor(WRITE_BYTES / size));
  const readers = sources.map((source) => new SampleQueue(integersOf(source, 'EDF+')));
  try {
    for (let from = 0; from < lists.length; from += together) {
      const records = lists.slice(from, from + together);
      const out = new DataView(new ArrayBuffer(records.length * size));
      let at = 0;
      for (const list of records) {
        for (const [i, reader] of readers.entries()) {
          const channels = sources[i].series.channels.length;
          const values = await reader.take(rows[i] * channels);
          for (let c = 0; c < channels; c++) {
            for (let row = c; row < values.length; row += channels, at += 2) out.setInt16(at, values[row], true);
          }
        }
        new Uint8Array(out.buffer, at, bytes).set(list);
        at += bytes;
      }
      yield new Uint8Array(out.buffer);
    }
  } finally {
    await Promise.all(readers.map((reader) => reader.close()));
  }
}
