/**
 * Header files (`.hea`) of WFDB records.
 * @see https://physionet.org/physiotools/wag/header-5.htm
 */
import { invalidField, VarveError } from '../../core/errors.ts';
import { parseRate, type Rate } from '../../core/signal/rate.ts';
import { parseTime } from '../../core/time.ts';

export interface WfdbSignal {
  readonly file: string;
  readonly format: 16 | 212;
  /** Bytes before the first sample of the file. */
  readonly byteOffset: number;
  /** Samples by which the signal runs late against the others; not corrected. */
  readonly skew: number;
  /** Raw values a physical unit; null if the signal is not calibrated. */
  readonly gain: number | null;
  readonly baseline: number;
  readonly unit: string;
  readonly adcBits: number | null;
  readonly adcZero: number;
  readonly description: string | null;
}

export interface WfdbHeader {
  readonly record: string;
  readonly rate: Rate;
  /** Samples a signal, or null if the header does not say. */
  readonly samples: number | null;
  readonly baseTime: string | null;
  /** Null unless the header has both a base time and a base date. */
  readonly startNs: bigint | null;
  readonly signals: readonly WfdbSignal[];
  readonly comments: readonly string[];
}

const DEFAULT_RATE = '250';
/** What WFDB assumes where a header gives no gain at all. */
const DEFAULT_GAIN = 200;

/**
 * @param name of the file, for errors
 * @throws `invalid-input` naming the line; `unprocessable` for storage formats other than 16 and 212, several samples a frame,
 * and records of several segments
 */
export function parseWfdbHeader(text: string, name: string): WfdbHeader {
  const comments: string[] = [];
  const lines: { readonly number: number; readonly text: string }[] = [];
  text.split(/\r?\n/).forEach((line, index) => {
    const trimmed = line.trim();
    if (trimmed.startsWith('#')) comments.push(trimmed.replace(/^#+\s*/, ''));
    else if (trimmed !== '') lines.push({ number: index + 1, text: trimmed });
  });
  const [head, ...rest] = lines;
  if (!head) throw invalidField(name, 'has no record line');
  const [record, signalCount, rateText = DEFAULT_RATE, sampleCount, baseTime, baseDate] = head.text.split(/\s+/);
  if (record.includes('/')) throw unsupported(name, 'is a record of several segments; import the segments one by one');
  const count = Number(signalCount);
  if (!/^\d+$/.test(signalCount ?? '') || rest.length < count) {
    throw invalidField(`${name} line ${head.number}`, 'names more signals than follow');
  }
  const rate = parseRate(rateText.split('/')[0]);
  if (!rate) throw invalidField(`${name} line ${head.number}`, `has the sampling frequency ${rateText}`);
  return {
    record,
    rate,
    samples: Number(sampleCount) > 0 ? Number(sampleCount) : null,
    baseTime: baseTime ?? null,
    startNs: baseTime && baseDate ? startOf(baseTime, baseDate, `${name} line ${head.number}`) : null,
    signals: rest.slice(0, count).map((line) => parseSignal(line.text, `${name} line ${line.number}`)),
    comments,
  };
}

function startOf(time: string, date: string, place: string): bigint {
  const [day, month, year] = date.split('/');
  const parts = time.split(':');
  while (parts.length < 3) parts.unshift('0');
  const [hour, minute, second] = parts.map((part) => part.padStart(2, '0'));
  const ns = parseTime(`${year}-${month?.padStart(2, '0')}-${day.padStart(2, '0')}T${hour}:${minute}:${second}Z`);
  if (ns === undefined) throw invalidField(place, `has the base time ${time} ${date}; hh:mm:ss dd/mm/yyyy is expected`);
  return ns;
}

function parseSignal(text: string, place: string): WfdbSignal {
  const match =
    /^(\S+)\s+(\S+)(?:\s+(\S+)(?:\s+(\S+)(?:\s+(\S+)(?:\s+(\S+)(?:\s+(\S+)(?:\s+(\S+)(?:\s+(.*))?)?)?)?)?)?)?$/.exec(
      text,
    );
  if (!match) throw invalidField(place, 'is no signal line');
  const [, file, formatText, gainText, adcBits, adcZeroText, , , , description] = match;
  const format = /^(\d+)(?:x(\d+))?(?::(\d+))?(?:\+(\d+))?$/.exec(formatText);
  if (!format) throw invalidField(place, `has the format ${formatText}`);
  const [, code, perFrame = '1', skew = '0', byteOffset = '0'] = format;
  if (code !== '16' && code !== '212') {
    throw unsupported(place, `is stored in format ${code}; formats 16 and 212 are read`);
  }
  if (perFrame !== '1') throw unsupported(place, `has ${perFrame} samples a frame; one is read`);
  const gain = /^([+-]?[\d.]+(?:[eE][+-]?\d+)?)(?:\(([+-]?\d+)\))?(?:\/(\S+))?$/.exec(gainText ?? String(DEFAULT_GAIN));
  if (!gain) throw invalidField(place, `has the gain ${gainText}`);
  const adcZero = Number(adcZeroText ?? 0);
  return {
    file,
    format: code === '16' ? 16 : 212,
    byteOffset: Number(byteOffset),
    skew: Number(skew),
    gain: Number(gain[1]) || null,
    baseline: gain[2] === undefined ? adcZero : Number(gain[2]),
    unit: gain[3] ?? 'mV',
    adcBits: Number(adcBits) || null,
    adcZero,
    description: description?.trim() || null,
  };
}

function unsupported(place: string, message: string): VarveError {
  return new VarveError('unprocessable', `${place} ${message}`, {
    slug: 'unsupported-recording',
    errors: [{ field: place, message }],
  });
}
