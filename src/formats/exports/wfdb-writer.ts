/**
 * WFDB records: a signal file in format 16 or 32, an annotation file and the header that names them.
 * @see https://physionet.org/physiotools/wag/header-5.htm, signal-5.htm and annot-5.htm beside it
 */
import { ratio, times } from '../../core/numbers/ratio.ts';
import { calibrationOf } from '../../core/signal/calibration.ts';
import { formatRate } from '../../core/signal/rate.ts';
import type { Channel } from '../../core/signal/series.ts';
import { NS_PER_S } from '../../core/time.ts';
import { exactDecimal, exactMap, negative } from './exact-decimal.ts';
import {
  integersOf,
  rateText,
  exportedRows,
  signalLabel,
  SampleQueue,
  wouldLose,
  type ExportedPart,
  type ExportedSeries,
  type ExportPlan,
} from './exported-series.ts';
import { annotationFile } from './wfdb-annotation-writer.ts';

const NUMBER_WIDTH = 24;
const WRITE_BYTES = 1024 * 1024;
/** By storage format: the value that readers take for an invalid sample. */
const INVALID = { 16: -32_768, 32: -2_147_483_648 } as const;
type StorageFormat = keyof typeof INVALID;
const FORMATS: Readonly<Record<string, StorageFormat>> = { int8: 16, uint8: 16, int16: 16, uint16: 32, int32: 32 };
const NS_PER_MS = NS_PER_S / 1000n;

interface Sums {
  readonly first: number[];
  /** Sums of all samples of each channel, modulo 2¹⁶. */
  readonly sum: number[];
}

/**
 * One record of one segment. Series are signals side by side, so they have one rate and the same rows.
 * @param name of the record: letters, digits and underscores
 * @throws unprocessable `would-lose` naming the series and what a record has no place for
 */
export function planWfdb(sources: readonly ExportedSeries[], name: string): ExportPlan {
  const [first] = sources;
  for (const source of sources) refuseOthers(source, first);
  const format = Math.max(...sources.map(formatOf)) as StorageFormat;
  const marks = annotationFile(sources, first.spans[0].startNs);
  const signals = sources.map(({ series }) => series.channels.map((channel, at) => signalLine(series, channel, at)));
  const record = recordLine(first, name, signals.flat().length);
  const sums: Sums = { first: [], sum: [] };
  const header: ExportedPart = {
    name: `${name}.hea`,
    async *write() {
      const lines = signals.flat().map(({ gain, adc, label }, at) => {
        const checksum = (sums.sum[at] << 16) >> 16;
        return `${name}.dat ${format} ${gain} ${adc} ${sums.first[at]} ${checksum} 0 ${label}`;
      });
      yield Buffer.from(`${[record, ...lines].join('\n')}\n`);
    },
  };
  return {
    parts: [
      { name: `${name}.dat`, write: () => signalBytes(sources, format, sums) },
      ...(marks.bytes.length > 0
        ? [
            {
              name: `${name}.atr`,
              async *write() {
                yield marks.bytes;
              },
            },
          ]
        : []),
      header,
    ],
    notes: ['tags, descriptions and provenance are not in a WFDB record', ...marks.notes],
  };
}

function refuseOthers(source: ExportedSeries, first: ExportedSeries): void {
  const { name } = source.series;
  if (source.spans.length > 1) throw wouldLose(name, 'has gaps, which a WFDB record of one segment has no place for');
  const isAlike = formatRate(source.rate) === formatRate(first.rate) && exportedRows(source) === exportedRows(first);
  if (isAlike && source.spans[0].startNs === first.spans[0].startNs) return;
  throw wouldLose(name, `has not the rows and times of ${first.series.name}: export them one by one`);
}

function formatOf({ series }: ExportedSeries): StorageFormat {
  const format = FORMATS[series.dtype];
  if (format) return format;
  throw wouldLose(series.name, `is ${series.dtype}; WFDB holds integers of 32 bits at most`);
}

function signalLine(
  series: ExportedSeries['series'],
  channel: Channel,
  at: number,
): { gain: string; adc: string; label: string } {
  const label = signalLabel(series, at);
  if (/[\r\n]/.test(label) || label !== label.trim() || label === '') {
    throw wouldLose(series.name, `has the label ${JSON.stringify(label)}, which a line of a header does not hold`);
  }
  const unit = channel.unit ?? series.unit ?? 'NU';
  if (/\s/.test(unit)) throw wouldLose(series.name, `has the unit ${JSON.stringify(unit)}; WFDB's have no spaces`);
  const map = exactMap(calibrationOf(series, channel), channel);
  const gain = map.slope.num === 0n ? null : exactDecimal(ratio(map.slope.den, map.slope.num), NUMBER_WIDTH);
  const baseline = gain === null ? null : negative(times(map.intercept, ratio(map.slope.den, map.slope.num)));
  if (gain === null || baseline?.den !== 1n) {
    throw wouldLose(
      series.name,
      `has a calibration of ${channel.label} that a decimal gain and a whole baseline do not say`,
    );
  }
  // As the importer keeps what a header says of the converter.
  const { adc_bits: bits, adc_zero: zero } = channel.info ?? {};
  const adc = `${whole(bits, 16)} ${whole(zero, 0)}`;
  return { gain: `${gain}(${baseline.num})/${unit}`, adc, label };
}

function whole(value: unknown, otherwise: number): number {
  return Number.isInteger(value) ? Number(value) : otherwise;
}

function recordLine({ series, rate, spans }: ExportedSeries, name: string, signals: number): string {
  const frequency = exactDecimal({ num: rate.num, den: rate.den }, NUMBER_WIDTH);
  if (frequency === null) throw wouldLose(series.name, `has the rate ${rateText(rate)}, which is no decimal number`);
  const line = `${name} ${signals} ${frequency} ${spans[0].rows}`;
  if (series.timeReference === 'relative') return line;
  const { startNs } = spans[0];
  if (startNs % NS_PER_MS !== 0n) {
    throw wouldLose(series.name, 'begins within a millisecond; the times of WFDB have three digits');
  }
  const [date, time] = new Date(Number(startNs / 1_000_000n)).toISOString().split('T');
  return `${line} ${time.replace('Z', '').replace('.000', '')} ${date.split('-').reverse().join('/')}`;
}

/** Frames of all signals. Fills in what the header is to say of them. */
async function* signalBytes(
  sources: readonly ExportedSeries[],
  format: StorageFormat,
  sums: Sums,
): AsyncGenerator<Uint8Array> {
  const channels = sources.map(({ series }) => series.channels.length);
  const all = channels.reduce((sum, each) => sum + each, 0);
  const total = new Int32Array(all);
  const readers = sources.map((source) => new SampleQueue(integersOf(source, 'WFDB', INVALID[format])));
  const together = Math.max(1, Math.floor(WRITE_BYTES / (all * 4)));
  try {
    for (let left = exportedRows(sources[0]); left > 0; left -= together) {
      const rows = Math.min(left, together);
      const frames = format === 16 ? new Int16Array(rows * all) : new Int32Array(rows * all);
      let column = 0;
      for (const [s, reader] of readers.entries()) {
        const block = await reader.take(rows * channels[s]);
        for (let c = 0; c < channels[s]; c++, column++) {
          sums.first[column] ??= block[c];
          for (let row = 0; row < rows; row++) {
            const value = block[row * channels[s] + c];
            frames[row * all + column] = value;
            total[column] = (total[column] + value) | 0;
          }
        }
      }
      yield new Uint8Array(frames.buffer);
    }
  } finally {
    await Promise.all(readers.map((reader) => reader.close()));
  }
  sums.sum.push(...total);
}
