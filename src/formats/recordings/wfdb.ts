/** WFDB records (PhysioNet): a header, its signal files and annotation files, as one recording. */
import type { Batch } from '../../core/signal/batch.ts';
import { invalidField, VarveError } from '../../core/errors.ts';
import { nsOfRow, parseRate } from '../../core/signal/rate.ts';
import type { Recording } from '../../core/signal/recording.ts';
import type { Channel, NewAnnotation } from '../../core/signal/series.ts';
import { fullBatchRows } from '../samples/batch-builder.ts';
import { BlockCutter } from '../binary/block-cutter.ts';
import { distinctLabels } from './channel-labels.ts';
import { importedSpec } from './imported-series.ts';
import { readWfdbAnnotations } from './wfdb-annotations.ts';
import { parseWfdbHeader, type WfdbHeader, type WfdbSignal } from './wfdb-header.ts';
import { wholeBody } from '../text/whole-body.ts';

/** The files of a record, which lie side by side in one folder. */
export interface RecordingFiles {
  readonly names: readonly string[];
  /** @throws `not-found` if no file has that name */
  open(name: string): AsyncIterable<Uint8Array>;
}

export interface WfdbOptions {
  /** Name of the series. */
  readonly name: string;
  /** Annotation files are read where they are there; their extensions, `atr` alone by default. */
  readonly annotators?: readonly string[];
}

/** By storage format: the smallest value it has. See the signal(5) page of the WFDB applications guide. */
const INVALID_SAMPLE: Readonly<Record<WfdbSignal['format'], number>> = { 16: -32_768, 212: -2048 };

/** Header and annotation files are read whole; real ones are far smaller. */
const MAX_SIDE_FILE_BYTES = 64 * 1024 * 1024;

/**
 * Makes one regular int16 series with a channel for each signal. Values stay raw; the channels carry gain and baseline.
 * The storage format marks invalid samples by a value, which is the series' missing value, unless signals of two
 * formats are together.
 * @param header name of the `.hea` file among `files`
 * @throws `invalid-input` or `unprocessable` naming file and line; while batches are read, `invalid-input` naming a
 * signal file that is shorter than its header says
 */
export async function readWfdb(files: RecordingFiles, header: string, options: WfdbOptions): Promise<Recording> {
  const head = parseWfdbHeader(new TextDecoder().decode(await sideFile(files, header)), header);
  if (head.signals.length === 0) throw invalidField(header, 'names no signals');
  for (const { file } of head.signals) {
    if (!files.names.includes(file)) throw new VarveError('not-found', `${header} needs the signal file ${file}`);
  }
  const notes: string[] = [];
  const annotations = await annotationsOf(files, header, head, options.annotators ?? ['atr'], notes);
  const units = new Set(head.signals.map((signal) => signal.unit));
  const invalid = [...new Set(head.signals.map(({ format }) => INVALID_SAMPLE[format]))];
  notesOnHeader(head, invalid, notes);
  return {
    series: [
      {
        spec: importedSpec({
          name: options.name,
          dtype: 'int16',
          channels: channelsOf(head.signals),
          unit: units.size === 1 ? head.signals[0].unit : null,
          sampling: { kind: 'regular', rate: head.rate, startNs: head.startNs ?? 0n },
          timeReference: head.startNs === null ? 'relative' : 'utc',
          missingValue: invalid.length === 1 ? invalid[0] : null,
          provenance: {
            format: 'WFDB',
            record: head.record,
            files: [header, ...new Set(head.signals.map((signal) => signal.file))],
            comments: head.comments,
            ...(head.baseTime === null ? {} : { base_time: head.baseTime }),
          },
        }),
        rows: head.samples,
        batches: () => batchesOf(files, head),
        annotations,
      },
    ],
    notes,
  };
}

function sideFile(files: RecordingFiles, name: string): Promise<Uint8Array> {
  return wholeBody(files.open(name), MAX_SIDE_FILE_BYTES, () => {
    return new VarveError('limit-exceeded', `${name} is larger than ${MAX_SIDE_FILE_BYTES / 1024 / 1024} MiB`);
  });
}

function channelsOf(signals: readonly WfdbSignal[]): Channel[] {
  const labels = distinctLabels(signals.map((signal, i) => signal.description ?? `signal ${i}`));
  return signals.map(({ gain, baseline, unit, adcBits, adcZero, skew }, i) => ({
    label: labels[i],
    unit,
    ...(gain === null ? {} : { gain, baseline }),
    info: { adc_zero: adcZero, ...(adcBits && { adc_bits: adcBits }), ...(skew > 0 && { skew_samples: skew }) },
  }));
}

function notesOnHeader({ signals, startNs }: WfdbHeader, invalid: readonly number[], notes: string[]): void {
  notes.push(
    invalid.length === 1
      ? `raw values are kept as they are; ${invalid[0]}, which marks an invalid sample in this storage format, is the missing value`
      : `raw values are kept as they are; ${invalid.join(' and ')} mark invalid samples in these storage formats, and count as values`,
  );
  if (startNs === null) notes.push('the header has no base date: times count from the start of the recording');
  else notes.push('the base time has no zone and was taken as UTC');
  signals.forEach((signal, i) => {
    const label = signal.description ?? `signal ${i}`;
    if (signal.gain === null) notes.push(`${label} is not calibrated (gain 0): its values have no unit`);
    if (signal.skew > 0) notes.push(`${label} runs ${signal.skew} samples late; this was not corrected`);
  });
}

async function annotationsOf(
  files: RecordingFiles,
  header: string,
  head: WfdbHeader,
  annotators: readonly string[],
  notes: string[],
): Promise<NewAnnotation[]> {
  const marks: NewAnnotation[] = [];
  for (const annotator of annotators) {
    const name = `${header.replace(/\.hea$/, '')}.${annotator}`;
    if (!files.names.includes(name)) continue;
    const { annotations, ticksPerSecond } = readWfdbAnnotations(await sideFile(files, name), name);
    const rate = ticksPerSecond === null ? head.rate : parseRate(ticksPerSecond);
    if (!rate) throw invalidField(name, `has the time resolution ${ticksPerSecond}`);
    for (const { sample, label, subtype, channel, num, aux } of annotations) {
      const ns = (head.startNs ?? 0n) + nsOfRow(rate, sample);
      const payload = {
        sample,
        ...(subtype !== 0 && { subtype }),
        ...(channel !== 0 && { channel }),
        ...(num !== 0 && { num }),
        ...(aux !== '' && { aux }),
      };
      marks.push({ startNs: ns, endNs: ns, label, payload });
    }
    notes.push(`${annotations.length} annotations from ${name}`);
  }
  return marks;
}

/** Frames of all signal files side by side. */
async function* batchesOf(files: RecordingFiles, head: WfdbHeader): AsyncGenerator<Batch> {
  const channels = head.signals.length;
  // Even, so that a block of format 212, which packs two samples into three bytes, is whole bytes.
  const blockFrames = fullBatchRows(channels * 2) & ~1 || 2;
  const columnsOf = new Map<string, number[]>();
  head.signals.forEach(({ file }, column) => columnsOf.set(file, [...(columnsOf.get(file) ?? []), column]));
  const groups = [...columnsOf];
  const streams = groups.map(([file, columns]) =>
    framesOf(files.open(file), file, head.signals[columns[0]], columns.length, blockFrames, head.samples),
  );
  try {
    for (;;) {
      const blocks = await Promise.all(streams.map((stream) => stream.next()));
      if (blocks.every((block) => block.done)) return;
      const rows = (blocks[0].value?.length ?? 0) / groups[0][1].length;
      if (blocks.some(({ value }, g) => value?.length !== rows * groups[g][1].length)) {
        throw invalidField(groups.map(([file]) => file).join(', '), 'have different numbers of samples');
      }
      const values = groups.length === 1 ? (blocks[0].value as Int16Array) : new Int16Array(rows * channels);
      if (groups.length > 1) {
        groups.forEach(([, columns], g) => interleave(blocks[g].value as Int16Array, columns, values, channels));
      }
      yield { rows, values, times: null };
    }
  } finally {
    await Promise.all(streams.map((stream) => stream.return(undefined)));
  }
}

/** Puts the frames of one file into its columns of the rows. */
function interleave(block: Int16Array, columns: readonly number[], values: Int16Array, channels: number): void {
  const rows = values.length / channels;
  columns.forEach((column, k) => {
    for (let row = 0; row < rows; row++) values[row * channels + column] = block[row * columns.length + k];
  });
}

/**
 * Frames of one signal file, with one sample for each signal, in blocks of one size but the last; no more than `frames`
 * in all.
 */
async function* framesOf(
  source: AsyncIterable<Uint8Array>,
  file: string,
  { format, byteOffset }: WfdbSignal,
  signals: number,
  blockFrames: number,
  frames: number | null,
): AsyncGenerator<Int16Array, undefined> {
  const samplesIn = (bytes: number): number => (format === 16 ? Math.floor(bytes / 2) : Math.floor((bytes * 2) / 3));
  const cutter = new BlockCutter((blockFrames * signals * (format === 16 ? 4 : 3)) / 2);
  let toSkip = byteOffset;
  let left = frames ?? Infinity;

  function* decodedBlock(block: Uint8Array): Generator<Int16Array> {
    const count = Math.min(left, Math.floor(samplesIn(block.length) / signals));
    left -= count;
    if (count > 0) yield format === 16 ? from16(block, count * signals) : from212(block, count * signals);
  }

  for await (const piece of source) {
    const data = piece.subarray(Math.min(toSkip, piece.length));
    toSkip -= piece.length - data.length;
    for (const block of cutter.push(data)) yield* decodedBlock(block);
    if (left === 0) return undefined;
  }
  yield* decodedBlock(cutter.rest());
  if (frames !== null && left > 0)
    throw invalidField(file, `ends after ${frames - left} of ${frames} samples a signal`);
  return undefined;
}

/** Format 16: little-endian two's complement. */
function from16(bytes: Uint8Array, samples: number): Int16Array {
  return new Int16Array(bytes.buffer, bytes.byteOffset, samples);
}

/** Format 212: two 12-bit samples in three bytes; low byte of the first, high nibbles of second and first, low byte of the second. */
function from212(bytes: Uint8Array, samples: number): Int16Array {
  const out = new Int16Array(samples);
  for (let i = 0, at = 0; i < samples; i += 2, at += 3) {
    const nibbles = bytes[at + 1];
    out[i] = (((nibbles & 0x0f) << 28) >> 20) | bytes[at];
    if (i + 1 < samples) out[i + 1] = (((nibbles & 0xf0) << 24) >> 20) | bytes[at + 2];
  }
  return out;
}
