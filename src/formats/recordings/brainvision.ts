/** BrainVision recordings: a header, samples and markers in files of their own. */
import { invalidField } from '../../core/errors.ts';
import { DTYPES } from '../../core/numbers/dtype.ts';
import { nsOfRow, rateHz } from '../../core/signal/rate.ts';
import type { RecordedSeries, Recording } from '../../core/signal/recording.ts';
import type { Channel, NewAnnotation } from '../../core/signal/series.ts';
import { isTime } from '../../core/time.ts';
import {
  parseBrainVisionHeader,
  parseBrainVisionMarkers,
  type BrainVisionHeader,
  type BrainVisionMarker,
} from './brainvision-header.ts';
import { distinctLabels } from './channel-labels.ts';
import { cutAtGaps, gapsAmong, type SegmentBegin } from './cut-at-gaps.ts';
import { flatBatches, vectorBatches } from './flat-frames.ts';
import { commonUnit, said, someOf } from './header-text.ts';
import { importedSpec } from './imported-series.ts';
import { startAt } from './local-start.ts';
import { neededSize, readWhole, type FileOptions, type RecordingFiles } from './recording-files.ts';

/** What begins where recording was paused. */
const NEW_SEGMENT = 'New Segment';
/** Provenance is no place for a long log. */
const MAX_COMMENT_CHARS = 20_000;

/**
 * Makes one regular series with a channel for each of the header. A channel's scale is its resolution. A marker of a new
 * segment that has a date begins a segment at it; all markers are annotations.
 *
 * Samples that end early are read up to the last whole one of all channels.
 * @param file the `.vhdr`
 * @throws `invalid-input` or `unprocessable` naming the file and key; `not-found` naming a file that is missing
 */
export async function readBrainVision(files: RecordingFiles, file: string, options: FileOptions): Promise<Recording> {
  const stem = file.replace(/\.[^.]*$/, '');
  const header = parseBrainVisionHeader(await readWhole(files, file), file, stem);
  const notes: string[] = [];
  const dataFile = await renamed(files, header.dataFile, stem, notes);
  const { rows, channels } = extentOf(header, dataFile, await neededSize(files, dataFile, file), notes);
  const { markers, markerFile } = await markersOf(files, header, stem, notes);
  const segments = markers.filter(({ type, localNs }) => type === NEW_SEGMENT && localNs !== null);
  const start = startAt(segments[0]?.localNs, options, notes);
  const firstNs = segments[0]?.localNs ?? 0n;
  // From one clock on the wall to another: what passed between two markers is the same.
  const begins = segments.map(({ row, localNs }): SegmentBegin => ({
    row,
    startNs: start.startNs + localNs! - firstNs,
  }));
  const { rate } = header;
  const originNs = begins.length > 0 ? begins[0].startNs - nsOfRow(rate, begins[0].row) : start.startNs;
  const { gaps, early } = gapsAmong([{ row: 0, startNs: originNs }, ...begins.slice(1)], rate);
  if (gaps.length > 1) notes.push(`gaps where recording was paused: ${gaps.length - 1}`);
  if (early > 0)
    notes.push(`${early} segments say that they begin before the one in front ends; they follow it at once`);
  const undated = markers.filter(
    ({ type, localNs, row }) => type === NEW_SEGMENT && localNs === null && row > 0,
  ).length;
  if (undated > 0) notes.push(`${undated} segments do not say when they begin; their rows follow those before`);
  const { dtype, isBigEndian, isVectorized } = header;
  const flat = { file: dataFile, fromByte: 0, rows, channels: channels.length, dtype, isBigEndian };
  const read = isVectorized ? () => vectorBatches(files, flat) : () => flatBatches(files, flat);
  const series: RecordedSeries = {
    spec: importedSpec({
      name: options.name,
      dtype: header.dtype,
      channels,
      unit: commonUnit(channels),
      sampling: { kind: 'regular', rate, startNs: originNs },
      timeReference: start.timeReference,
      timeZone: start.timeZone,
      provenance: {
        format: 'BrainVision',
        version: header.version,
        sampling_interval_us: header.interval,
        ...(segments[0] && { start: segments[0].date }),
        ...said('comment', header.comment.slice(0, MAX_COMMENT_CHARS)),
      },
    }),
    rows,
    batches: () => cutAtGaps(read(), gaps, channels.length),
    annotations: marksOf(markers, gaps, header, channels, notes),
  };
  const sources = [file, dataFile, ...(markerFile === null ? [] : [markerFile])];
  return { series: [series], notes, sources };
}

/** Files that were renamed together still name each other by their old names. */
async function renamed(files: RecordingFiles, name: string, stem: string, notes: string[]): Promise<string> {
  if ((await files.size(name)) !== null) return name;
  const other = `${stem}${/\.[^.]*$/.exec(name)?.[0] ?? ''}`;
  if (other === name || (await files.size(other)) === null) return name;
  notes.push(`the header names ${name}, which is not there; ${other} was read`);
  return other;
}

/** The samples that are there, and the channels. Of channels one after the other, the last ones are lost first. */
function extentOf(
  header: BrainVisionHeader,
  dataFile: string,
  size: number,
  notes: string[],
): { rows: number; channels: Channel[] } {
  const { points, isVectorized, dtype } = header;
  const channels = channelsOf(header);
  const frameBytes = channels.length * DTYPES[dtype].bytes;
  const there = Math.floor(size / frameBytes);
  if (points !== null && there < points && isVectorized) {
    const whole = channels.slice(0, Math.floor(size / (points * DTYPES[dtype].bytes)));
    if (whole.length === 0) throw invalidField(dataFile, `ends at byte ${size}, before its first channel is whole`);
    const lost = channels.slice(whole.length).map(({ label }) => label);
    notes.push(`${dataFile} was cut off at byte ${size}: channels that are not whole are lost: ${someOf(lost)}`);
    return { rows: points, channels: whole };
  }
  if (there === 0) throw invalidField(dataFile, `ends at byte ${size}, before its first sample is whole`);
  if (points !== null && there < points) {
    const lost = (points - there) / rateHz(header.rate);
    notes.push(`${dataFile} was cut off: ${there} of ${points} samples are there, and the last ${lost} s are lost`);
  } else if (points !== null && there > points) {
    notes.push(`the header promises ${points} samples, ${dataFile} has ${there}`);
  }
  if (size % frameBytes !== 0) notes.push(`${size % frameBytes} bytes after the last whole sample were left out`);
  return { rows: isVectorized && points !== null ? points : there, channels };
}

async function markersOf(
  files: RecordingFiles,
  { markerFile: said, version }: BrainVisionHeader,
  stem: string,
  notes: string[],
): Promise<{ markers: BrainVisionMarker[]; markerFile: string | null }> {
  const markerFile = said === null ? null : await renamed(files, said, stem, notes);
  if (markerFile === null || (await files.size(markerFile)) === null) {
    if (markerFile !== null) notes.push(`the marker file ${markerFile} is not there: no annotations (${version})`);
    return { markers: [], markerFile: null };
  }
  const { markers, unreadable } = parseBrainVisionMarkers(await readWhole(files, markerFile));
  if (unreadable > 0) notes.push(`${unreadable} markers could not be read and were left out`);
  return { markers, markerFile };
}

function channelsOf({ channels, dtype }: BrainVisionHeader): Channel[] {
  const labels = distinctLabels(channels.map(({ label }) => label));
  const isRaw = DTYPES[dtype].kind === 'int';
  return channels.map(({ reference, resolution, unit }, i) => ({
    label: labels[i],
    unit,
    ...((isRaw || resolution !== 1) && { scale: resolution, offset: 0 }),
    ...said('reference', reference),
  }));
}

function marksOf(
  markers: readonly BrainVisionMarker[],
  gaps: readonly SegmentBegin[],
  { rate }: BrainVisionHeader,
  channels: readonly Channel[],
  notes: string[],
): NewAnnotation[] {
  let outside = 0;
  const marks: NewAnnotation[] = [];
  for (const { type, description, row, rows, channel, date } of markers) {
    const segment = gaps.findLast((gap) => gap.row <= row) ?? gaps[0];
    const startNs = segment.startNs + nsOfRow(rate, row - segment.row);
    // A marker of one sample is a point.
    const endNs = rows > 1 ? startNs + nsOfRow(rate, rows) : startNs;
    if (!isTime(startNs) || !isTime(endNs)) {
      outside++;
      continue;
    }
    const label = description || type || 'marker';
    const payload = { type, row, ...said('date', date) };
    const meant = channel === null ? undefined : channels[channel]?.label;
    marks.push({ startNs, endNs, label, payload, ...(meant !== undefined && { channels: [meant] }) });
  }
  if (outside > 0) notes.push(`${outside} markers lie outside the years 1678 to 2261 and were left out`);
  return marks;
}
