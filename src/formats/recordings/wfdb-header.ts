/**
 * Header files (`.hea`) of WFDB records.
 * @see https://physionet.org/physiotools/wag/header-5.htm
 */
import { invalidField, VarveError } from '../../core/errors.ts';
import { parseRate, type Rate } from '../../core/signal/rate.ts';
import { parseTime } from '../../core/time.ts';
import { isWfdbFormat, type WfdbFormat } from './wfdb-formats.ts';

export interface WfdbSignal {
  readonly file: string;
  readonly format: WfdbFormat;
  readonly samplesPerFrame: number;
  /** Bytes before the first sample of the file. */
  readonly byteOffset: number;
  /** Frames of the signal that lie before frame 0 of the record. */
  readonly skew: number;
  /** Raw values a physical unit. */
  readonly gain: number;
  /** True if the header does not say it, or says 0. */
  readonly isGainAssumed: boolean;
  readonly baseline: number;
  readonly unit: string;
  readonly adcBits: number | null;
  readonly adcZero: number;
  /** Where the differences of format 8 begin. */
  readonly initial: number;
  readonly description: string | null;
}

/** One line of a record of several segments. */
export interface WfdbSegment {
  /** Record of the segment; `~` where there is a gap. */
  readonly name: string;
  readonly frames: number;
}

export interface WfdbHeader {
  readonly record: string;
  /** Frames a second. */
  readonly rate: Rate;
  /** Frames, or null if the header does not say. */
  readonly frames: number | null;
  readonly baseTime: string | null;
  readonly baseDate: string | null;
  /** By the clock on the wall, as if that were UTC; null unless the header has both a base time and a base date. */
  readonly localStartNs: bigint | null;
  readonly signals: readonly WfdbSignal[];
  /** Null of an ordinary record. */
  readonly segments: readonly WfdbSegment[] | null;
  readonly comments: readonly string[];
}

const DEFAULT_RATE = '250';
/** What WFDB assumes where a header gives no gain, or 0. */
const DEFAULT_GAIN = 200;
/** More are no record of a laboratory. */
const MAX_SIGNALS = 10_000;
const MAX_SEGMENTS = 1_000_000;
const MAX_SAMPLES_PER_FRAME = 100_000;

/**
 * @param name of the file, for errors
 * @throws `invalid-input` naming the line; `unprocessable` for storage formats that are not read
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
  const place = `${name} line ${head.number}`;
  const [recordText, signalCount, rateText = DEFAULT_RATE, frameCount, baseTime, baseDate] = head.text.split(/\s+/);
  const [record, segmentCount] = recordText.split('/');
  const rate = parseRate(rateText.split('/')[0]);
  if (!rate) throw invalidField(place, `has the sampling frequency ${rateText.slice(0, 40)}`);
  const count = countOf(segmentCount ?? signalCount, segmentCount === undefined ? MAX_SIGNALS : MAX_SEGMENTS, place);
  if (rest.length < count) {
    throw invalidField(place, `names more ${segmentCount === undefined ? 'signals' : 'segments'} than follow`);
  }
  const listed = rest.slice(0, count);
  return {
    record,
    rate,
    frames: Number(frameCount) > 0 && Number.isSafeInteger(Number(frameCount)) ? Number(frameCount) : null,
    baseTime: baseTime ?? null,
    baseDate: baseDate ?? null,
    localStartNs: baseTime && baseDate ? startOf(baseTime, baseDate, place) : null,
    signals:
      segmentCount === undefined ? listed.map((line) => parseSignal(line.text, `${name} line ${line.number}`)) : [],
    segments:
      segmentCount === undefined ? null : listed.map((line) => parseSegment(line.text, `${name} line ${line.number}`)),
    comments,
  };
}

function countOf(text: string | undefined, most: number, place: string): number {
  const count = Number(text);
  if (!/^\d+$/.test(text ?? ''))
    throw invalidField(place, 'is no record line: it does not say how many signals follow');
  if (count > most) throw invalidField(place, `promises ${text?.slice(0, 20)} lines; at most ${most} are read`);
  return count;
}

function startOf(time: string, date: string, place: string): bigint {
  const [day, month, year] = date.split('/');
  const parts = time.split(':');
  while (parts.length < 3) parts.unshift('0');
  const [hour, minute, second] = parts.map((part) => part.padStart(2, '0'));
  const ns = parseTime(`${year}-${month?.padStart(2, '0')}-${day.padStart(2, '0')}T${hour}:${minute}:${second}Z`);
  if (ns === undefined) {
    throw invalidField(place, `has the base time ${`${time} ${date}`.slice(0, 60)}; hh:mm:ss dd/mm/yyyy is expected`);
  }
  return ns;
}

function parseSegment(text: string, place: string): WfdbSegment {
  const match = /^(\S+)\s+(\d{1,15})\b/.exec(text);
  if (!match) throw invalidField(place, 'is no segment line');
  return { name: match[1], frames: Number(match[2]) };
}

function parseSignal(text: string, place: string): WfdbSignal {
  const match =
    /^(\S+)\s+(\S+)(?:\s+(\S+)(?:\s+(\S+)(?:\s+(\S+)(?:\s+(\S+)(?:\s+(\S+)(?:\s+(\S+)(?:\s+(.*))?)?)?)?)?)?)?$/.exec(
      text,
    );
  if (!match) throw invalidField(place, 'is no signal line');
  const [, file, formatText, gainText, adcBits, adcZeroText, initialText, , , description] = match;
  const layout = /^(\d{1,9})(?:x(\d{1,9}))?(?::(\d{1,9}))?(?:\+(\d{1,15}))?$/.exec(formatText);
  if (!layout) throw invalidField(place, `has the format ${formatText.slice(0, 40)}`);
  const [, code, perFrame = '1', skew = '0', byteOffset = '0'] = layout;
  const format = Number(code);
  if (!isWfdbFormat(format)) throw unsupported(place, format);
  const samplesPerFrame = Number(perFrame);
  if (samplesPerFrame < 1 || samplesPerFrame > MAX_SAMPLES_PER_FRAME) {
    throw invalidField(place, `has ${perFrame} samples a frame`);
  }
  const gain = /^([+-]?[\d.]+(?:[eE][+-]?\d+)?)(?:\(([+-]?\d+)\))?(?:\/(\S+))?$/.exec(gainText ?? String(DEFAULT_GAIN));
  if (!gain || !Number.isFinite(Number(gain[1]))) throw invalidField(place, `has the gain ${gainText?.slice(0, 40)}`);
  const adcZero = Number(adcZeroText ?? 0) || 0;
  return {
    file,
    format,
    samplesPerFrame,
    byteOffset: Number(byteOffset),
    skew: Number(skew),
    gain: Number(gain[1]) || DEFAULT_GAIN,
    isGainAssumed: gainText === undefined || Number(gain[1]) === 0,
    baseline: gain[2] === undefined ? adcZero : Number(gain[2]),
    unit: gain[3] ?? 'mV',
    adcBits: Number(adcBits) || null,
    adcZero,
    initial: Number(initialText ?? 0) || 0,
    description: description?.trim() || null,
  };
}

function unsupported(place: string, format: number): VarveError {
  const what = [508, 516, 524].includes(format) ? `format ${format}, which is FLAC` : `format ${format}`;
  const message = `is stored in ${what}; formats 8, 16, 24, 32, 61, 80, 160, 212, 310 and 311 are read`;
  return new VarveError('unprocessable', `${place} ${message}`, {
    slug: 'unsupported-recording',
    errors: [{ field: place, message }],
  });
}
