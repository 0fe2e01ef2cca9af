/** Axon Binary Files (pCLAMP, AxoScope): one series, with gaps between sweeps, and tags as annotations. */
import { invalidField, unprocessableField } from '../../core/errors.ts';
import { nsOfRow, parseRate, rateHz } from '../../core/signal/rate.ts';
import type { Recording } from '../../core/signal/recording.ts';
import type { Channel, NewAnnotation } from '../../core/signal/series.ts';
import { isTime } from '../../core/time.ts';
import { GAP_FREE, readAbfHeader, type AbfHeader } from './abf-header.ts';
import { distinctLabels } from './channel-labels.ts';
import { cutAtGaps, gapsAmong, type SegmentBegin } from './cut-at-gaps.ts';
import { flatBatches } from './flat-frames.ts';
import { commonUnit, labelText, said, someOf } from './header-text.ts';
import { importedSpec } from './imported-series.ts';
import { startAt } from './local-start.ts';
import { neededSize, type FileOptions, type RecordingFiles } from './recording-files.ts';

const MODES: Readonly<Record<number, string>> = {
  1: 'events of variable length',
  2: 'events of fixed length',
  [GAP_FREE]: 'gap-free',
  4: 'oscilloscope',
  5: 'episodic',
};
/** The mode whose synch array counts lengths in ticks. */
const VARIABLE_EVENTS = 1;
const TAG_TYPES = ['time', 'comment', 'external', 'voice', 'new file', 'annotation'];

/**
 * Makes one regular series with a channel for each input: int16 with scale and offset, or float32. Sweeps are segments,
 * and annotations say where each lies. A file that ends early is read up to its last whole sample of all channels.
 * @throws `invalid-input` or `unprocessable` naming file and byte
 */
export async function readAbf(files: RecordingFiles, file: string, options: FileOptions): Promise<Recording> {
  const size = await neededSize(files, file, file);
  const header = await readAbfHeader(files, file, size);
  const notes: string[] = [];
  const rate = rateOf(header.intervalUs, file);
  const rows = rowsOf(header, size, file, notes, rateHz(rate));
  const start = startAt(header.localStartNs, options, notes);
  const nsOfTicks = (ticks: number): bigint => start.startNs + BigInt(Math.round(ticks * header.tickUs * 1000));
  const sweeps = header.mode === GAP_FREE && header.sweeps.length <= 1 ? [] : sweepBegins(header, rows, nsOfTicks);
  const { gaps, early } = gapsAmong(sweeps, rate);
  if (early > 0) notes.push(`${early} sweeps say that they begin before the one in front ends; they follow it at once`);
  if (gaps.length > 1) notes.push(`sweeps after a gap: ${gaps.length - 1}`);
  const channels = channelsOf(header, notes);
  const marks = [...sweepMarks(sweeps, rows, (row) => nsOfRow(rate, row)), ...tagMarks(header, nsOfTicks, notes)];
  const dtype = header.isFloat ? 'float32' : 'int16';
  const flat = { file, fromByte: header.dataByte, rows, channels: channels.length, dtype } as const;
  const series = {
    spec: importedSpec({
      name: options.name,
      dtype,
      channels,
      unit: commonUnit(channels),
      sampling: { kind: 'regular', rate, startNs: gaps[0]?.startNs ?? start.startNs },
      timeReference: start.timeReference,
      timeZone: start.timeZone,
      provenance: {
        format: `ABF ${header.version}`,
        mode: MODES[header.mode] ?? header.mode,
        episodes: header.episodes,
        start_date: header.startDate,
        start_time_ms: header.startTimeMs,
        interval_us: header.intervalUs,
      },
    }),
    rows,
    batches: () => cutAtGaps(flatBatches(files, flat), gaps, channels.length),
    annotations: marks,
  } as const;
  return { series: [series], notes, sources: [file] };
}

function rateOf(intervalUs: number, file: string) {
  const interval = parseRate(intervalUs);
  const rate = interval && parseRate(`${1_000_000n * interval.den}/${interval.num}`);
  if (!rate) throw unprocessableField(file, `has a sampling interval of ${intervalUs} µs, which is no usable rate`);
  return rate;
}

/** Samples of each channel that are there. */
function rowsOf(header: AbfHeader, size: number, file: string, notes: string[], hz: number): number {
  const { channels, points, dataByte, isFloat } = header;
  if (dataByte <= 0 || dataByte > size) {
    throw invalidField(file, `has its samples at byte ${dataByte}, and ends at byte ${size}`);
  }
  const there = Math.floor((size - dataByte) / (channels.length * (isFloat ? 4 : 2)));
  if (points <= 0) {
    if (there === 0) throw invalidField(file, `has no samples (byte ${dataByte})`);
    notes.push(`the header does not say how many samples there are; the file has room for ${there}`);
    return there;
  }
  const promised = Math.floor(points / channels.length);
  if (there < promised) {
    const lost = (promised - there) / hz;
    notes.push(`the file was cut off: ${there} of ${promised} samples are there, and the last ${lost} s are lost`);
  }
  if (Math.min(there, promised) === 0)
    throw invalidField(file, `ends at byte ${size}, before its first sample is whole`);
  return Math.min(there, promised);
}

/** Where each sweep begins that is there. */
function sweepBegins(header: AbfHeader, rows: number, nsOfTicks: (ticks: number) => bigint): SegmentBegin[] {
  const { sweeps, channels, mode, tickUs, intervalUs } = header;
  const total = sweeps.reduce((sum, { length }) => sum + length, 0);
  const inTicks = mode === VARIABLE_EVENTS && total > rows * channels.length;
  const numbersATick = (channels.length * tickUs) / intervalUs;
  const begins: SegmentBegin[] = [];
  let row = 0;
  for (const { ticks, length } of sweeps) {
    if (row >= rows) break;
    if (length > 0) begins.push({ row, startNs: nsOfTicks(ticks) });
    row += Math.floor(Math.round(inTicks ? length * numbersATick : length) / channels.length);
  }
  return begins;
}

function channelsOf(header: AbfHeader, notes: string[]): Channel[] {
  const labels = distinctLabels(header.channels.map(({ label, adc }) => labelText(label, `ADC ${adc}`)));
  const raw: string[] = [];
  const channels = header.channels.map(({ unit, scale, offset, adc }, i): Channel => {
    const isUsable = scale !== null && Number.isFinite(scale) && scale !== 0 && Number.isFinite(offset);
    if (scale !== null && !isUsable) raw.push(labels[i]);
    return {
      label: labels[i],
      ...((isUsable || scale === null) && said('unit', unit)),
      ...(isUsable && { scale, offset }),
      info: { adc },
    };
  });
  if (raw.length > 0) notes.push(`gains are no calibration, so values stay raw: ${someOf(raw)}`);
  return channels;
}

function sweepMarks(sweeps: readonly SegmentBegin[], rows: number, nsOf: (rows: number) => bigint): NewAnnotation[] {
  if (sweeps.length < 2) return [];
  return sweeps.flatMap(({ row, startNs }, i) => {
    const endNs = startNs + nsOf((sweeps[i + 1]?.row ?? rows) - row);
    return isTime(startNs) && isTime(endNs)
      ? [{ startNs, endNs, label: `sweep ${i + 1}`, payload: { sweep: i + 1, row } }]
      : [];
  });
}

function tagMarks(header: AbfHeader, nsOfTicks: (ticks: number) => bigint, notes: string[]): NewAnnotation[] {
  const marks = header.tags.map(({ ticks, comment, type }) => {
    const ns = nsOfTicks(ticks);
    const kind = TAG_TYPES[type] ?? `type ${type}`;
    return { startNs: ns, endNs: ns, label: comment || `${kind} tag`, payload: { tag: kind, ticks } };
  });
  const usable = marks.filter(({ startNs }) => isTime(startNs));
  if (usable.length < marks.length) notes.push(`tags outside the years 1678 to 2261: ${marks.length - usable.length}`);
  return usable;
}
