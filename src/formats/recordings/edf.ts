/** EDF, EDF+, BDF and BDF+ files: a series for each sampling rate, annotations, and gaps between records. */
import type { Batch } from '../../core/signal/batch.ts';
import { invalidField, unprocessableField, VarveError } from '../../core/errors.ts';
import { formatTime, isTime } from '../../core/time.ts';
import { nsOfRow, parseRate, rateHz, type Rate } from '../../core/signal/rate.ts';
import type { RecordedSeries, Recording } from '../../core/signal/recording.ts';
import type { Channel, NewAnnotation } from '../../core/signal/series.ts';
import { BlockCutter } from '../binary/block-cutter.ts';
import { fullBatchRows } from '../samples/batch-builder.ts';
import { distinctLabels } from './channel-labels.ts';
import { cutAtGaps, gapsAmong } from './cut-at-gaps.ts';
import { readTals, type EdfAnnotation } from './edf-annotations.ts';
import { edfHeaderBytes, parseEdfHeader, type EdfHeader, type EdfSignal } from './edf-header.ts';
import { unitOfAll, labelText, oneLine, said, someOf } from './header-text.ts';
import { annotationSeries, importedSpec } from './imported-series.ts';
import { startAt, type RecordingStart } from './local-start.ts';
import { neededSize, partOfFile, type FileOptions, type RecordingFiles } from './recording-files.ts';

/** Annotations are held in memory. */
const MAX_ANNOTATIONS = 2_000_000;
/** Longest label of an annotation. */
const MAX_MARK_CHARS = 512;
/** Records are read in blocks of about this size. */
const BLOCK_BYTES = 1024 * 1024;

/** What the annotation signals say of the records. */
interface EdfTimes {
  readonly annotations: readonly EdfAnnotation[];
  /** From the start of the file; null where a record does not say it. */
  readonly onsets: readonly (bigint | null)[];
}

/**
 * Makes one regular series of all signals of one rate. EDF gives int16, BDF int32. Values stay raw; the channels carry
 * the digital and physical ranges. Where records of EDF+D do not follow one another there is a gap. Annotations belong
 * to the first series. A file without signals becomes a series without rows, which has the annotations.
 *
 * A file that ends early is read up to its last whole record.
 * @throws `invalid-input` or `unprocessable` naming file and byte
 */
export async function readEdf(files: RecordingFiles, file: string, options: FileOptions): Promise<Recording> {
  const size = await neededSize(files, file, file);
  const headBytes = edfHeaderBytes(await partOfFile(files, file, 0, 256), file);
  if (headBytes > size) throw invalidField(file, `ends at byte ${size}, within its header of ${headBytes} bytes`);
  const header = parseEdfHeader(await partOfFile(files, file, 0, headBytes), file);
  const notes: string[] = [];
  const records = wholeRecords(header, size, file, notes);
  const times = await timesOf(files, file, header, records, notes);
  const isStamped = header.isDiscontinuous && times.onsets.length > 0;
  if (header.isDiscontinuous) checkOnsets(header, times.onsets, file);
  const first = times.onsets[0] ?? 0n;
  // What the header says is a whole second; the first record knows the fraction.
  const start = startAt(header.localStartNs === null ? null : header.localStartNs + first, options, notes);
  const originNs = start.startNs - first;
  const marks = marksOf(times.annotations, originNs, notes);
  const groups = groupsOf(header.signals.filter(({ isAnnotations }) => !isAnnotations));
  const empty = header.signals.filter(({ samples }) => samples === 0).map(({ label }) => label);
  if (empty.length > 0) notes.push(`signals without samples were left out: ${someOf(empty)}`);
  const provenance = provenanceOf(header);
  if (groups.length === 0) {
    return { series: [markSeries(options.name, start, provenance, marks)], notes, sources: [file] };
  }
  const { recordRate } = header;
  if (!recordRate) {
    throw unprocessableField(file, 'has records of no duration, so its sampling rate is not known (byte 244)');
  }
  if (marks.length > 0 && groups.length > 1) notes.push('annotations belong to the first series');
  const series = groups.map((signals, g): RecordedSeries => {
    const rate = signalRate(recordRate, signals[0].samples, file);
    const begins = isStamped
      ? times.onsets.map((onset, record) => ({ row: record * signals[0].samples, startNs: originNs + (onset ?? 0n) }))
      : [];
    const { gaps } = gapsAmong(begins, rate);
    if (gaps.length > 1 && g === 0) notes.push(`gaps between records: ${gaps.length - 1}`);
    const channels = channelsOf(signals, notes);
    return {
      spec: importedSpec({
        name: groups.length === 1 ? options.name : `${options.name}/${rateHz(rate)}Hz`,
        dtype: header.isBdf ? 'int32' : 'int16',
        channels,
        unit: unitOfAll(channels),
        sampling: { kind: 'regular', rate, startNs: start.startNs },
        timeReference: start.timeReference,
        timeZone: start.timeZone,
        provenance,
      }),
      rows: records * signals[0].samples,
      batches: () => cutAtGaps(batchesOf(files, file, header, records, signals), gaps, signals.length),
      annotations: g === 0 ? marks : [],
    };
  });
  return { series, notes, sources: [file] };
}

/** How many records are there in fact. */
function wholeRecords(header: EdfHeader, size: number, file: string, notes: string[]): number {
  const bytes = size - header.headerBytes;
  const whole = Math.max(0, Math.floor(bytes / header.recordBytes));
  const rest = bytes - whole * header.recordBytes;
  if (whole === 0) throw invalidField(file, `ends at byte ${size}, before its first record is whole`);
  if (header.records > whole) {
    const seconds = (header.records - whole) * Number(header.durationText.replace(',', '.'));
    notes.push(
      `the file was cut off: ${whole} of ${header.records} records are whole, and the last ${seconds} s are lost`,
    );
  } else if (header.records === -1) {
    notes.push(`the header does not say how many records there are; the file has ${whole}`);
  } else if (header.records < whole) {
    notes.push(`the header promises ${header.records} records, the file has ${whole}; all of them were read`);
  }
  if (rest > 0) notes.push(`${rest} bytes after the last whole record were left out`);
  return whole;
}

/** Reads the annotation signals of all records, if there are any. */
async function timesOf(
  files: RecordingFiles,
  file: string,
  header: EdfHeader,
  records: number,
  notes: string[],
): Promise<EdfTimes> {
  const lists = header.signals.filter(({ isAnnotations }) => isAnnotations);
  if (lists.length === 0) return { annotations: [], onsets: [] };
  const annotations: EdfAnnotation[] = [];
  const onsets: (bigint | null)[] = [];
  let unreadable = 0;
  for await (const block of recordBlocks(files, file, header, records)) {
    for (let at = 0; at < block.length; at += header.recordBytes) {
      lists.forEach(({ offset, samples }, i) => {
        const bytes = block.subarray(at + offset, at + offset + samples * header.sampleBytes);
        const found = readTals(bytes);
        if (i === 0) onsets.push(found.onsetNs);
        unreadable += found.unreadable;
        for (const each of found.annotations) annotations.push(each);
      });
      if (annotations.length > MAX_ANNOTATIONS) {
        throw new VarveError('limit-exceeded', `${file} has more than ${MAX_ANNOTATIONS} annotations`);
      }
    }
  }
  if (unreadable > 0) notes.push(`${unreadable} annotations could not be read and were left out`);
  return { annotations, onsets };
}

/** Whole records, some in a block. */
async function* recordBlocks(
  files: RecordingFiles,
  file: string,
  { headerBytes, recordBytes }: EdfHeader,
  records: number,
): AsyncGenerator<Uint8Array> {
  const cutter = new BlockCutter(Math.max(1, Math.floor(BLOCK_BYTES / recordBytes)) * recordBytes);
  for await (const piece of files.open(file, headerBytes, headerBytes + records * recordBytes)) {
    yield* cutter.push(piece);
  }
  const rest = cutter.rest();
  if (rest.length > 0) yield rest.subarray(0, rest.length - (rest.length % recordBytes));
}

/** Records of EDF+D say when they begin, each after the one before. */
function checkOnsets(header: EdfHeader, onsets: readonly (bigint | null)[], file: string): void {
  const { recordRate, headerBytes, recordBytes } = header;
  if (!recordRate) return;
  const durationNs = nsOfRow(recordRate, 1);
  onsets.forEach((onset, record) => {
    const place = `${file}: record ${record + 1} at byte ${headerBytes + record * recordBytes}`;
    if (onset === null) throw new VarveError('invalid-input', `${place} does not say when it begins, in an EDF+D file`);
    const before = record === 0 ? null : onsets[record - 1];
    // Half of it: stamps may be rounded.
    if (before !== null && onset < before + durationNs / 2n) {
      throw new VarveError('invalid-input', `${place} begins before the one in front of it ends`);
    }
  });
}

function signalRate(recordRate: Rate, samples: number, file: string): Rate {
  const rate = parseRate(`${BigInt(samples) * recordRate.num}/${recordRate.den}`);
  if (!rate) throw unprocessableField(file, `has ${samples} samples in a record, which is no usable sampling rate`);
  return rate;
}

/** Signals of one rate together, in the order of the file. */
function groupsOf(signals: readonly EdfSignal[]): EdfSignal[][] {
  const groups = new Map<number, EdfSignal[]>();
  for (const signal of signals) {
    if (signal.samples > 0) groups.set(signal.samples, [...(groups.get(signal.samples) ?? []), signal]);
  }
  return [...groups.values()];
}

function channelsOf(signals: readonly EdfSignal[], notes: string[]): Channel[] {
  const labels = distinctLabels(signals.map(({ label, index }) => labelText(label, `signal ${index + 1}`)));
  const raw: string[] = [];
  const channels = signals.map(({ transducer, unit, filtering, digital, physical, ranges }, i): Channel => {
    const isCalibrated = [...digital, ...physical].every(Number.isFinite) && digital[0] !== digital[1];
    const isUsable = isCalibrated && physical[0] !== physical[1];
    if (!isUsable) raw.push(`${labels[i]} (${ranges.join(', ')})`);
    const isTurned = digital[0] > digital[1];
    const [low, high] = isTurned ? [1, 0] : [0, 1];
    return {
      label: labels[i],
      // Without a calibration the values have no unit.
      ...(isUsable && said('unit', unit)),
      ...(isUsable && {
        digital_min: digital[low],
        digital_max: digital[high],
        physical_min: physical[low],
        physical_max: physical[high],
      }),
      ...said('filtering', filtering),
      info: {
        ...said('transducer', transducer),
        ...(!isUsable && { ...said('unit', unit), digital: ranges.slice(0, 2), physical: ranges.slice(2) }),
      },
    };
  });
  if (raw.length > 0) notes.push(`digital and physical ranges are no calibration, so values stay raw: ${someOf(raw)}`);
  return channels;
}

function marksOf(annotations: readonly EdfAnnotation[], originNs: bigint, notes: string[]): NewAnnotation[] {
  let outside = 0;
  const marks: NewAnnotation[] = [];
  for (const { onsetNs, durationNs, text, onset, duration } of annotations) {
    const startNs = originNs + onsetNs;
    const endNs = startNs + (durationNs ?? 0n);
    const label = oneLine(text, MAX_MARK_CHARS);
    if (!isTime(startNs) || !isTime(endNs) || label === '') {
      outside++;
      continue;
    }
    const payload = { onset, ...(duration !== null && { duration }), ...(label !== text && { text }) };
    marks.push({ startNs, endNs, label, payload });
  }
  if (outside > 0) notes.push(`${outside} annotations lie outside the years 1678 to 2261 or say nothing: left out`);
  return marks;
}

function provenanceOf(header: EdfHeader): Record<string, unknown> {
  return {
    format: `${header.isBdf ? 'BDF' : 'EDF'}${/^[EB]DF\+/.test(header.reserved) ? '+' : ''}`,
    ...said('patient', header.patient),
    ...said('recording', header.recording),
    ...said('reserved', header.reserved),
    start: `${header.startDate} ${header.startTime}`,
    records: header.records,
    record_duration_s: header.durationText,
  };
}

/** A series that is there for its annotations. */
function markSeries(
  name: string,
  { timeReference, timeZone, startNs }: RecordingStart,
  provenance: Record<string, unknown>,
  annotations: readonly NewAnnotation[],
): RecordedSeries {
  const began = timeReference === 'utc' ? { start_time: formatTime(startNs) } : {};
  return annotationSeries({ name, timeReference, timeZone, provenance: { ...provenance, ...began } }, annotations);
}

/** Rows × signals of one rate. */
async function* batchesOf(
  files: RecordingFiles,
  file: string,
  header: EdfHeader,
  records: number,
  signals: readonly EdfSignal[],
): AsyncGenerator<Batch> {
  const channels = signals.length;
  const [{ samples }] = signals;
  const full = fullBatchRows(channels * (header.isBdf ? 4 : 2));
  for await (const block of recordBlocks(files, file, header, records)) {
    const rows = (block.length / header.recordBytes) * samples;
    const values = header.isBdf ? new Int32Array(rows * channels) : new Int16Array(rows * channels);
    for (let at = 0, row = 0; at < block.length; at += header.recordBytes, row += samples) {
      signals.forEach(({ offset }, c) => {
        if (header.isBdf) copy24(block, at + offset, samples, values as Int32Array, row * channels + c, channels);
        else copy16(block, at + offset, samples, values as Int16Array, row * channels + c, channels);
      });
    }
    for (let from = 0; from < rows; from += full) {
      const upTo = Math.min(rows, from + full);
      yield { rows: upTo - from, values: values.subarray(from * channels, upTo * channels), times: null };
    }
  }
}

/** Little-endian two's complement of 16 bits. */
function copy16(from: Uint8Array, at: number, count: number, to: Int16Array, start: number, stride: number): void {
  for (let i = 0, out = start; i < count; i++, out += stride, at += 2) to[out] = from[at] | (from[at + 1] << 8);
}

/** The same of 24 bits. */
function copy24(from: Uint8Array, at: number, count: number, to: Int32Array, start: number, stride: number): void {
  for (let i = 0, out = start; i < count; i++, out += stride, at += 3) {
    to[out] = ((from[at] << 8) | (from[at + 1] << 16) | (from[at + 2] << 24)) >> 8;
  }
}
