/** WFDB records (PhysioNet): a header, its signal files and annotation files, as one recording. */
import type { Batch } from '../../core/signal/batch.ts';
import { invalidField, VarveError } from '../../core/errors.ts';
import { nsOfRow, parseRate, rateHz, type Rate } from '../../core/signal/rate.ts';
import type { RecordedSeries, Recording } from '../../core/signal/recording.ts';
import type { Channel, NewAnnotation } from '../../core/signal/series.ts';
import { isTime } from '../../core/time.ts';
import { fullBatchRows } from '../samples/batch-builder.ts';
import { BlockCutter } from '../binary/block-cutter.ts';
import { distinctLabels } from './channel-labels.ts';
import { cutAtGaps, gapsAmong } from './cut-at-gaps.ts';
import { commonUnit, decodeText, labelText, oneLine, someOf } from './header-text.ts';
import { importedSpec } from './imported-series.ts';
import { startAt } from './local-start.ts';
import { neededSize, readWhole, type FileOptions, type RecordingFiles } from './recording-files.ts';
import { readWfdbAnnotations } from './wfdb-annotations.ts';
import { decodeWfdb, packingOf, samplesIn, type WfdbFormat } from './wfdb-formats.ts';
import { parseWfdbHeader, type WfdbHeader, type WfdbSignal } from './wfdb-header.ts';

export interface WfdbOptions extends FileOptions {
  /** Annotation files are read where they are there; their extensions, `atr` alone by default. */
  readonly annotators?: readonly string[];
}

/** What marks a gap in a list of segments. */
const NO_SEGMENT = '~';
/** Blocks are whole groups of two and of three packed samples. */
const GROUP_FRAMES = 6;

/** One signal file: frames, each with the samples of its signals one after the other. */
interface SignalFile {
  readonly name: string;
  readonly format: WfdbFormat;
  readonly byteOffset: number;
  readonly frameSamples: number;
  /** Whole frames that are there. */
  readonly frames: number;
}

/** One signal of one segment. */
interface PlacedSignal {
  readonly signal: WfdbSignal;
  readonly label: string;
  readonly file: SignalFile;
  /** Samples of a frame before its own. */
  readonly at: number;
  /** Frames that are read. */
  readonly frames: number;
}

/** A segment of a record; an ordinary record is one. */
interface WfdbPart {
  /** Frames of the record before it. */
  readonly firstFrame: number;
  readonly signals: readonly PlacedSignal[];
}

/** Signals that become one series: in each segment that has them, in the same order. */
interface SignalGroup {
  readonly runs: { readonly firstFrame: number; readonly signals: PlacedSignal[] }[];
}

/**
 * Makes one regular series of all signals of one rate, int16, or int32 for wide formats. Values stay raw; the channels
 * carry gain and baseline. The storage format marks invalid samples by a value, which is the series' missing value,
 * unless signals of two formats are together. A signal with a skew is a series of its own that begins earlier.
 *
 * Segments follow one another with the gaps that the record says. Where segments differ in their signals or in the
 * calibration of one, each signal and calibration is a series. Files that are short are read to their last whole frame.
 * @param header name of the `.hea` file among `files`
 * @throws `invalid-input` or `unprocessable` naming file and line; `not-found` naming a file that is missing
 */
export async function readWfdb(files: RecordingFiles, header: string, options: WfdbOptions): Promise<Recording> {
  const head = await headerOf(files, header, header);
  const notes: string[] = [];
  const sources = new Set([header]);
  const parts = await partsOf(files, header, head, sources, notes);
  if (parts.every(({ signals }) => signals.length === 0)) throw invalidField(header, 'names no signals');
  const start = startAt(head.localStartNs, options, notes);
  const marks = await annotationsOf(files, header, head, start.startNs, options.annotators ?? ['atr'], notes, sources);
  notesOnSignals(parts, notes);
  const groups = groupsOf(parts);
  if (groups.length === 0) throw invalidField([...sources].join(', '), 'have no whole frame of samples');
  const series = groups.map((group, g): RecordedSeries => {
    const [{ signals }] = group.runs;
    const { samplesPerFrame, skew } = signals[0].signal;
    const rate = timesRate(head.rate, samplesPerFrame, header);
    const invalid = [...new Set(signals.map(({ signal }) => packingOf(signal.format).invalid))];
    const dtype = signals.some(({ signal }) => packingOf(signal.format).isWide) ? 'int32' : 'int16';
    const channels = channelsOf(signals);
    let rows = 0;
    const begins = group.runs.map((run) => {
      const begin = { row: rows, startNs: start.startNs + frameNs(head.rate, run.firstFrame - skew) };
      rows += run.signals[0].frames * samplesPerFrame;
      return begin;
    });
    const { gaps } = gapsAmong(begins, rate);
    if (gaps.length > 1) notes.push(`gaps between segments of ${channels[0].label}: ${gaps.length - 1}`);
    return {
      spec: importedSpec({
        name: nameOf(options.name, groups, g, head.rate),
        dtype,
        channels,
        unit: commonUnit(channels),
        sampling: { kind: 'regular', rate, startNs: gaps[0].startNs },
        timeReference: start.timeReference,
        timeZone: start.timeZone,
        missingValue: invalid.length === 1 ? invalid[0] : null,
        provenance: {
          format: 'WFDB',
          record: head.record,
          files: [header, ...new Set(group.runs.flatMap((run) => run.signals.map(({ file }) => file.name)))].slice(
            0,
            50,
          ),
          comments: head.comments.map((comment) => oneLine(comment)).slice(0, 50),
          ...(head.baseTime !== null && { base_time: head.baseTime }),
          ...(head.baseDate !== null && { base_date: head.baseDate }),
        },
      }),
      rows,
      batches: () => cutAtGaps(batchesOf(files, group, dtype), gaps, signals.length),
      annotations: g === 0 ? marks : [],
    };
  });
  if (marks.length > 0 && series.length > 1) notes.push('annotations belong to the first series');
  return { series, notes, sources: [...sources] };
}

async function headerOf(files: RecordingFiles, name: string, neededBy: string): Promise<WfdbHeader> {
  return parseWfdbHeader(decodeText(await readWhole(files, name, neededBy)), name);
}

function frameNs(rate: Rate, frame: number): bigint {
  return frame < 0 ? -nsOfRow(rate, -frame) : nsOfRow(rate, frame);
}

function timesRate(rate: Rate, factor: number, header: string): Rate {
  const product = parseRate(`${rate.num * BigInt(factor)}/${rate.den}`);
  if (!product) throw invalidField(header, `has ${factor} samples a frame, which is no usable sampling rate`);
  return product;
}

/** The segments that have samples. */
async function partsOf(
  files: RecordingFiles,
  header: string,
  head: WfdbHeader,
  sources: Set<string>,
  notes: string[],
): Promise<WfdbPart[]> {
  if (!head.segments) {
    const signals = await placedSignals(files, header, head, head.frames, sources, notes);
    return [{ firstFrame: 0, signals }];
  }
  const parts: WfdbPart[] = [];
  let firstFrame = 0;
  for (const { name, frames } of head.segments) {
    // The layout has no samples, and its gains are those of no sample: each segment has its own.
    if (name !== NO_SEGMENT && frames > 0) {
      const segmentHeader = `${name}.hea`;
      const segment = await headerOf(files, segmentHeader, header);
      if (segment.segments) throw invalidField(segmentHeader, `has segments, though it is one of ${header}`);
      sources.add(segmentHeader);
      const signals = await placedSignals(files, segmentHeader, segment, frames, sources, notes);
      parts.push({ firstFrame, signals });
    }
    firstFrame += frames;
  }
  return parts;
}

/** The signals of a segment that has this many frames; null: as many as its files have. */
async function placedSignals(
  files: RecordingFiles,
  header: string,
  head: WfdbHeader,
  frames: number | null,
  sources: Set<string>,
  notes: string[],
): Promise<PlacedSignal[]> {
  const placed: PlacedSignal[] = [];
  const labels = head.signals.map(({ description }, i) => labelText(description ?? '', `signal ${i}`));
  for (const name of new Set(head.signals.map((signal) => signal.file))) {
    const columns = head.signals.flatMap((signal, i) => (signal.file === name ? [i] : []));
    const { format, byteOffset } = head.signals[columns[0]];
    if (columns.some((i) => head.signals[i].format !== format)) {
      throw invalidField(header, `says that ${name} has signals of several formats`);
    }
    sources.add(name);
    const size = await neededSize(files, name, header);
    const frameSamples = columns.reduce((sum, i) => sum + head.signals[i].samplesPerFrame, 0);
    const there = Math.floor(samplesIn(format, Math.max(0, size - byteOffset)) / frameSamples);
    const file: SignalFile = { name, format, byteOffset, frameSamples, frames: there };
    if (frames !== null && there < frames) {
      const lost = (frames - there) / rateHz(head.rate);
      notes.push(`${name} was cut off: it has ${there} of ${frames} frames, and the last ${lost} s are lost`);
    }
    let at = 0;
    for (const i of columns) {
      const signal = head.signals[i];
      // A signal that was late goes on behind the end of the others, if its file does.
      const wanted = frames === null ? there : Math.min(there, frames + signal.skew);
      placed.push({ signal, label: labels[i], file, at, frames: wanted });
      at += signal.samplesPerFrame;
    }
  }
  // In the order of the header, whatever file they are in.
  return head.signals.flatMap((signal) => placed.filter((each) => each.signal === signal));
}

/** Signals that can be together are; where segments are not alike, each signal and calibration is by itself. */
function groupsOf(parts: readonly WfdbPart[]): SignalGroup[] {
  const layoutOf = (part: WfdbPart): string => JSON.stringify(part.signals.map(kindOf));
  const isAlike = new Set(parts.map(layoutOf)).size === 1;
  const groups = new Map<string, SignalGroup>();
  for (const { firstFrame, signals } of parts) {
    const taken = new Set<string>();
    for (const placed of signals) {
      const { samplesPerFrame, skew } = placed.signal;
      let key = isAlike ? `${samplesPerFrame} ${skew}` : kindOf(placed);
      if (parts.length === 1) key += ` ${placed.frames}`;
      // Two signals of one name and calibration in one segment.
      if (!isAlike) for (let n = 2; taken.has(key); n++) key = `${kindOf(placed)} ${n}`;
      taken.add(key);
      const group = groups.get(key) ?? { runs: [] };
      groups.set(key, group);
      const run = group.runs.at(-1);
      if (run?.firstFrame === firstFrame) run.signals.push(placed);
      else group.runs.push({ firstFrame, signals: [placed] });
    }
  }
  // Files of one segment that are not of one length: its signals end with the shortest.
  for (const { runs } of groups.values()) {
    for (const { signals } of runs) {
      const frames = Math.min(...signals.map((each) => each.frames));
      signals.forEach((each, i) => (signals[i] = { ...each, frames }));
    }
  }
  return [...groups.values()].filter(({ runs }) => runs.some(({ signals }) => signals[0].frames > 0));
}

/** What must be equal for samples of two segments to be one channel. */
function kindOf({ signal, label }: PlacedSignal): string {
  const { samplesPerFrame, skew, gain, baseline, unit, format } = signal;
  return JSON.stringify([label, samplesPerFrame, skew, gain, baseline, unit, packingOf(format)]);
}

/** The name of the recording, and what tells the series from the others: its rate, or the signal. */
function nameOf(name: string, groups: readonly SignalGroup[], g: number, rate: Rate): string {
  if (groups.length === 1) return name;
  const firsts = groups.map(({ runs }) => runs[0].signals[0]);
  const rates = firsts.map(({ signal }) => `${rateHz(rate) * signal.samplesPerFrame}Hz`);
  const isTold = new Set(rates).size === groups.length;
  return `${name}/${isTold ? rates[g] : distinctLabels(firsts.map(({ label }) => label.replaceAll('/', '_')))[g]}`;
}

function channelsOf(signals: readonly PlacedSignal[]): Channel[] {
  const labels = distinctLabels(signals.map(({ label }) => label));
  return signals.map(({ signal: { gain, baseline, unit, adcBits, adcZero, skew } }, i) => ({
    label: labels[i],
    unit,
    gain,
    baseline,
    info: { adc_zero: adcZero, ...(adcBits && { adc_bits: adcBits }), ...(skew > 0 && { skew_samples: skew }) },
  }));
}

function notesOnSignals(parts: readonly WfdbPart[], notes: string[]): void {
  const signals = parts.flatMap((part) => part.signals);
  const invalid = [...new Set(signals.map(({ signal }) => packingOf(signal.format).invalid))].filter((v) => v !== null);
  if (invalid.length > 0) {
    notes.push(
      `raw values are kept as they are; ${invalid.join(' and ')} mark invalid samples by their storage format`,
    );
  }
  const of = (isMeant: (signal: WfdbSignal) => boolean): string[] => [
    ...new Set(signals.filter(({ signal }) => isMeant(signal)).map(({ label }) => label)),
  ];
  const assumed = of(({ isGainAssumed }) => isGainAssumed);
  if (assumed.length > 0) {
    notes.push(`the header gives no gain, so 200 a physical unit was assumed, as WFDB does: ${someOf(assumed)}`);
  }
  const skewed = of(({ skew }) => skew > 0);
  if (skewed.length > 0)
    notes.push(`signals with a skew begin earlier by it, as series of their own: ${someOf(skewed)}`);
}

async function annotationsOf(
  files: RecordingFiles,
  header: string,
  head: WfdbHeader,
  startNs: bigint,
  annotators: readonly string[],
  notes: string[],
  sources: Set<string>,
): Promise<NewAnnotation[]> {
  const marks: NewAnnotation[] = [];
  for (const annotator of annotators) {
    const name = `${header.replace(/\.hea$/, '')}.${annotator}`;
    if ((await files.size(name)) === null) continue;
    sources.add(name);
    const { annotations, ticksPerSecond, isCutOff } = readWfdbAnnotations(await readWhole(files, name));
    const rate = ticksPerSecond === null ? head.rate : parseRate(ticksPerSecond);
    if (!rate) throw invalidField(name, `has the time resolution ${ticksPerSecond}`);
    for (const { sample, label, subtype, channel, num, aux } of annotations) {
      const ns = startNs + frameNs(rate, sample);
      if (!isTime(ns))
        throw invalidField(name, `has an annotation at sample ${sample}, outside the years 1678 to 2261`);
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
    if (isCutOff) notes.push(`${name} ends in the middle of an annotation, which is lost`);
  }
  return marks;
}

/** Rows of a group, segment after segment. */
async function* batchesOf(files: RecordingFiles, group: SignalGroup, dtype: 'int16' | 'int32'): AsyncGenerator<Batch> {
  for (const { signals } of group.runs) yield* runBatches(files, signals, dtype);
}

/** Frames of all signal files side by side. */
async function* runBatches(
  files: RecordingFiles,
  signals: readonly PlacedSignal[],
  dtype: 'int16' | 'int32',
): AsyncGenerator<Batch> {
  const channels = signals.length;
  const [{ frames, signal }] = signals;
  const perFrame = signal.samplesPerFrame;
  const signalFiles = [...new Set(signals.map(({ file }) => file))];
  const widest = Math.max(...signalFiles.map(({ frameSamples }) => frameSamples), channels * perFrame);
  const full = fullBatchRows(widest * 4);
  const blockFrames = Math.max(1, Math.floor(full / GROUP_FRAMES)) * GROUP_FRAMES;
  const streams = signalFiles.map((file) => framesOf(files, file, frames, blockFrames));
  const lasts = signals.map((each) => each.signal.initial);
  try {
    for (let done = 0; done < frames;) {
      const blocks = await Promise.all(streams.map((stream) => stream.next()));
      const rows = Math.min(blockFrames, frames - done) * perFrame;
      const values = dtype === 'int32' ? new Int32Array(rows * channels) : new Int16Array(rows * channels);
      signals.forEach(({ file, at, signal: { format } }, c) => {
        const { value: block } = blocks[signalFiles.indexOf(file)];
        if (!block) throw invalidField(file.name, 'became shorter while it was read');
        let last = lasts[c];
        for (let first = at, out = c; out < values.length; first += file.frameSamples) {
          for (let from = first; from < first + perFrame; from++, out += channels) {
            last = format === 8 ? last + block[from] : block[from];
            values[out] = last;
          }
        }
        lasts[c] = last;
      });
      done += rows / perFrame;
      const most = fullBatchRows(channels * 4);
      for (let from = 0; from < rows; from += most) {
        const upTo = Math.min(rows, from + most);
        yield { rows: upTo - from, values: values.subarray(from * channels, upTo * channels), times: null };
      }
    }
  } finally {
    await Promise.all(streams.map((stream) => stream.return(undefined)));
  }
}

/** Frames of one signal file, in blocks of one size but the last; `frames` in all. */
async function* framesOf(
  files: RecordingFiles,
  { name, format, byteOffset, frameSamples }: SignalFile,
  frames: number,
  blockFrames: number,
): AsyncGenerator<Int16Array | Int32Array, undefined> {
  const { samples, bytes } = packingOf(format);
  const cutter = new BlockCutter((blockFrames * frameSamples * bytes) / samples);
  let left = frames;
  const decoded = (block: Uint8Array): Int16Array | Int32Array => {
    const count = Math.min(left, blockFrames, Math.floor(samplesIn(format, block.length) / frameSamples));
    left -= count;
    return decodeWfdb(format, block, count * frameSamples);
  };
  for await (const piece of files.open(name, byteOffset)) {
    for (const block of cutter.push(piece)) {
      if (left > 0) yield decoded(block);
    }
    if (left === 0) return undefined;
  }
  if (left > 0) yield decoded(cutter.rest());
  if (left > 0) throw new VarveError('invalid-input', `${name} became shorter while it was read`);
  return undefined;
}
