/**
 * Headers of EDF, EDF+ and BDF files.
 * @see https://www.edfplus.info/specs/edf.html, https://www.edfplus.info/specs/edfplus.html
 */
import { invalidField, unprocessableField } from '../../core/errors.ts';
import { parseRate, type Rate } from '../../core/signal/rate.ts';
import { fieldText } from './header-text.ts';
import { localTimeNs } from './local-start.ts';

/** What 24-bit files of BioSemi begin with, and all others. */
const BDF_MAGIC = '\xffBIOSEMI';
const EDF_MAGIC = '0       ';
/** Bytes of the fixed part, and of what is said of each signal. */
const HEAD_BYTES = 256;
/** A record is held whole; real ones are some kilobytes. */
const MAX_RECORD_BYTES = 128 * 1024 * 1024;

export interface EdfSignal {
  /** Place among the signals of the file. */
  readonly index: number;
  readonly label: string;
  readonly transducer: string;
  readonly unit: string;
  readonly filtering: string;
  readonly digital: readonly [min: number, max: number];
  readonly physical: readonly [min: number, max: number];
  /** As the file writes the four of them. */
  readonly ranges: readonly string[];
  /** Samples in each record. */
  readonly samples: number;
  /** Bytes from the beginning of a record. */
  readonly offset: number;
  /** True if it holds annotations in place of samples. */
  readonly isAnnotations: boolean;
}

export interface EdfHeader {
  readonly isBdf: boolean;
  /** Bytes of a sample. */
  readonly sampleBytes: 2 | 3;
  readonly patient: string;
  readonly recording: string;
  readonly reserved: string;
  readonly startDate: string;
  readonly startTime: string;
  /** By the clock on the wall, as if that were UTC; null: the file does not say it. */
  readonly localStartNs: bigint | null;
  readonly headerBytes: number;
  /** Records that the header promises; -1: it does not know. */
  readonly records: number;
  readonly durationText: string;
  /** Records a second; null where a record has no duration. */
  readonly recordRate: Rate | null;
  readonly recordBytes: number;
  readonly signals: readonly EdfSignal[];
  /** True if records need not follow one another at once. */
  readonly isDiscontinuous: boolean;
}

export function isEdf(head: Uint8Array): boolean {
  const magic = Buffer.from(head.subarray(0, 8)).toString('latin1');
  return magic === BDF_MAGIC || magic === EDF_MAGIC;
}

/**
 * @param head the first 256 bytes
 * @returns bytes of the whole header
 * @throws `invalid-input` naming file and byte
 */
export function edfHeaderBytes(head: Uint8Array, file: string): number {
  if (head.length < HEAD_BYTES) throw invalidField(file, `ends at byte ${head.length}, within its header`);
  if (!isEdf(head)) throw invalidField(file, 'does not begin as an EDF or BDF file does (byte 0)');
  return HEAD_BYTES * (1 + wholeNumber(head, file, 252, 4, 'the number of signals'));
}

/**
 * @param bytes of the whole header
 * @throws `invalid-input` naming file and byte; `unprocessable` for a record that is too large
 */
export function parseEdfHeader(bytes: Uint8Array, file: string): EdfHeader {
  const headBytes = edfHeaderBytes(bytes, file);
  if (bytes.length < headBytes) {
    throw invalidField(file, `ends at byte ${bytes.length}, within its header of ${headBytes} bytes`);
  }
  const count = headBytes / HEAD_BYTES - 1;
  if (count === 0) throw invalidField(file, 'has no signals (byte 252)');
  const isBdf = bytes[0] === 0xff;
  const sampleBytes = isBdf ? 3 : 2;
  const signals = signalsOf(bytes, file, count, sampleBytes);
  const recordBytes = signals.reduce((sum, { samples }) => sum + samples * sampleBytes, 0);
  if (recordBytes === 0) throw invalidField(file, 'has no samples in its records');
  if (recordBytes > MAX_RECORD_BYTES) {
    throw unprocessableField(file, `has records of ${recordBytes} bytes; at most ${MAX_RECORD_BYTES} are read`);
  }
  const said = Number(fieldText(bytes, 184, 8));
  const durationText = fieldText(bytes, 244, 8);
  const duration = parseRate(decimal(durationText));
  if (!duration && !(Number(decimal(durationText)) === 0)) {
    throw invalidField(file, `has the record duration "${durationText}" (byte 244)`);
  }
  const recordsText = fieldText(bytes, 236, 8);
  const records = Number(recordsText);
  if (recordsText === '' || !Number.isSafeInteger(records) || records < -1) {
    throw invalidField(file, `has "${recordsText}" records (byte 236)`);
  }
  const recording = fieldText(bytes, 88, 80);
  const [startDate, startTime] = [fieldText(bytes, 168, 8), fieldText(bytes, 176, 8)];
  const reserved = fieldText(bytes, 192, 44);
  return {
    isBdf,
    sampleBytes,
    patient: fieldText(bytes, 8, 80),
    recording,
    reserved,
    startDate,
    startTime,
    localStartNs: localStart(startDate, startTime, /^[EB]DF\+/.test(reserved) ? recording : ''),
    // Some writers leave room behind the header, and say so.
    headerBytes: Number.isSafeInteger(said) && said > headBytes && said < headBytes * 2 ? said : headBytes,
    records,
    durationText,
    recordRate: duration ? (parseRate(`${duration.den}/${duration.num}`) ?? null) : null,
    recordBytes,
    signals,
    isDiscontinuous: /^[EB]DF\+D/.test(reserved),
  };
}

function signalsOf(bytes: Uint8Array, file: string, count: number, sampleBytes: number): EdfSignal[] {
  let at = HEAD_BYTES;
  const columns = [16, 80, 8, 8, 8, 8, 8, 80].map((length) => {
    const column = Array.from({ length: count }, (_, i) => fieldText(bytes, at + i * length, length));
    at += count * length;
    return column;
  });
  const [labels, transducers, units, physicalMin, physicalMax, digitalMin, digitalMax, filters] = columns;
  let offset = 0;
  return labels.map((label, index): EdfSignal => {
    const samples = wholeNumber(bytes, file, at + index * 8, 8, `the number of samples of signal ${index + 1}`);
    const ranges = [digitalMin[index], digitalMax[index], physicalMin[index], physicalMax[index]];
    const [dMin, dMax, pMin, pMax] = ranges.map((text) => (text === '' ? NaN : Number(decimal(text))));
    const signal: EdfSignal = {
      index,
      label,
      transducer: transducers[index],
      unit: units[index],
      filtering: filters[index],
      digital: [dMin, dMax],
      physical: [pMin, pMax],
      ranges,
      samples,
      offset,
      isAnnotations: /^[EB]DF Annotations$/.test(label),
    };
    offset += samples * sampleBytes;
    return signal;
  });
}

/** Some writers take the comma of their country, or leave out a zero. */
function decimal(text: string): string {
  return text.replace(',', '.').replace(/^\./, '0.');
}

function wholeNumber(bytes: Uint8Array, file: string, from: number, length: number, what: string): number {
  const text = fieldText(bytes, from, length);
  if (!/^\d+$/.test(text)) throw invalidField(file, `has "${text}" as ${what} (byte ${from})`);
  return Number(text);
}

const MONTHS = ['JAN', 'FEB', 'MAR', 'APR', 'MAY', 'JUN', 'JUL', 'AUG', 'SEP', 'OCT', 'NOV', 'DEC'];

/**
 * `dd.mm.yy` and `hh.mm.ss`, with years 1985 to 2084.
 * @param recording of EDF+, which begins with `Startdate dd-MMM-yyyy`: that has the whole year
 */
function localStart(date: string, time: string, recording: string): bigint | null {
  const clock = /^(\d\d)[.:](\d\d)[.:](\d\d)$/.exec(time);
  if (!clock) return null;
  const [hour, minute, second] = clock.slice(1).map(Number);
  const short = /^(\d\d)[./-](\d\d)[./-](\d\d|yy)$/.exec(date);
  const long = /^Startdate (\d\d)-([A-Za-z]{3})-(\d{4})\b/.exec(recording);
  const month = long ? MONTHS.indexOf(long[2].toUpperCase()) + 1 : 0;
  if (long && month > 0 && (!short || short[3] === 'yy' || Number(long[3]) % 100 === Number(short[3]))) {
    return localTimeNs(Number(long[3]), month, Number(long[1]), hour, minute, second) ?? null;
  }
  if (!short || short[3] === 'yy') return null;
  const year = Number(short[3]);
  return (
    localTimeNs(year + (year < 85 ? 2000 : 1900), Number(short[2]), Number(short[1]), hour, minute, second) ?? null
  );
}
