/** From chosen series to the parts of a file: lazily, each part reads when it is written. */
import { VarveError } from '../../core/errors.ts';
import { rowAtOrAfter, nsOfRow } from '../../core/signal/rate.ts';
import type { Annotation, Series } from '../../core/signal/series.ts';
import type { SampleArray } from '../../core/numbers/dtype.ts';
import { planEdf } from '../../formats/exports/edf-writer.ts';
import { wouldLose, type ExportedSeries, type ExportedSpan } from '../../formats/exports/exported-series.ts';
import { planWfdb } from '../../formats/exports/wfdb-writer.ts';
import { decodeOctets } from '../../formats/samples/octets.ts';
import { isFile, WIRE_FORMATS, type AnswerFormatName } from '../../formats/samples/wire-formats.ts';
import type { PartOfFile } from '../../storage/export/kept-files.ts';
import type { Principal } from '../principal.ts';
import type { ReadService, SampleStream } from '../read/read-service.ts';
import type { SeriesService } from '../series/series-service.ts';
import type { TimeAxisService } from '../series/time-axis-service.ts';
import type { ExportRequest } from './export-service.ts';

export interface ExportSources {
  readonly samples: Pick<ReadService, 'read'>;
  readonly series: Pick<SeriesService, 'annotations'>;
  readonly timeAxis: Pick<TimeAxisService, 'segments'>;
}

export interface ExportParts {
  readonly parts: readonly PartOfFile[];
  readonly notes: readonly string[];
}

const PAGE = 1_000;
/** Annotations of one export: they are held in memory. */
const MOST_ANNOTATIONS = 1_000_000;
const EXTENSIONS: Readonly<Record<string, string>> = { csv: 'csv', npy: 'npy', arrow: 'arrow', hdf5: 'h5' };

/** @throws unprocessable `would-lose` naming the series and what the format has no place for */
export async function exportParts(
  sources: ExportSources,
  request: ExportRequest,
  series: readonly Series[],
  signal: AbortSignal,
): Promise<ExportParts> {
  const { format } = request;
  if (format !== 'edf' && format !== 'wfdb') {
    const names = new Set<string>();
    const parts = series.map((each) => ({
      name: partName(each.name, EXTENSIONS[format], names),
      isText: !isFile(format) && WIRE_FORMATS[format].isText,
      write: () => bodyOfSeries(sources, request, format, each, signal),
    }));
    return { parts, notes: [] };
  }
  const exported: ExportedSeries[] = [];
  for (const each of series) exported.push(await recordedSeries(sources, request, each, signal));
  const { parts, notes } = format === 'edf' ? planEdf(exported, request.name) : planWfdb(exported, request.name);
  return { parts: parts.map((part) => ({ ...part, isText: false })), notes };
}

/** A path within the zip that leads nowhere else, and is nobody else's on a disk that does not tell cases apart. */
function partName(name: string, extension: string, taken: Set<string>): string {
  const safe = name
    .split('/')
    .map((part) => part.replace(/[<>:"\\|?*\p{Cc}]/gu, '_').replace(/^\.+$|[. ]+$/u, '_'))
    .filter((part) => part !== '')
    .join('/');
  for (let copy = 1; ; copy++) {
    const path = `${safe || 'series'}${copy === 1 ? '' : `-${copy}`}.${extension}`;
    const key = path.normalize('NFC').toLowerCase();
    if (taken.has(key)) continue;
    taken.add(key);
    return path;
  }
}

async function* bodyOfSeries(
  { samples }: ExportSources,
  { principal, startNs, endNs, physical }: ExportRequest,
  format: AnswerFormatName,
  { id }: Series,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  const stream = await readAll(samples, principal, { id, startNs, endNs, format, physical, signal });
  yield* stream.body;
}

interface ExportedRange {
  readonly id: string;
  readonly startNs?: bigint;
  readonly endNs?: bigint;
  readonly format: AnswerFormatName;
  readonly physical: boolean;
  readonly signal: AbortSignal;
}

function readAll(
  samples: ExportSources['samples'],
  principal: Principal,
  { id, startNs, endNs, format, physical, signal }: ExportedRange,
): Promise<SampleStream> {
  return samples.read({
    principal,
    ref: { id },
    selection: { by: 'time', startNs, endNs },
    format,
    channels: null,
    physical,
    limit: null,
    linkTo: () => '',
    signal,
  });
}

/** @throws would-lose for a series that is irregular or has no rows in the range */
async function recordedSeries(
  sources: ExportSources,
  { principal, startNs, endNs }: ExportRequest,
  series: Series,
  signal: AbortSignal,
): Promise<ExportedSeries> {
  if (series.sampling.kind === 'irregular') {
    throw wouldLose(series.name, 'is irregular; the format has no time for each row');
  }
  const { rate } = series.sampling;
  const spans = await spansOf(sources, principal, series.id, (span) => {
    const from = startNs === undefined ? 0 : Number(rowAtOrAfter(rate, startNs - span.startNs));
    const to = endNs === undefined ? span.rows : Number(rowAtOrAfter(rate, endNs - span.startNs));
    const rows = Math.min(span.rows, to) - from;
    return rows > 0 ? { startNs: span.startNs + nsOfRow(rate, from), rows } : null;
  });
  if (spans.length === 0) throw wouldLose(series.name, 'has no rows in the range');
  const planned = spans.reduce((sum, { rows }) => sum + rows, 0);
  const shape = {
    dtype: series.dtype,
    channelLabels: series.channels.map(({ label }) => label),
    kind: 'regular',
  } as const;
  async function* values(): AsyncGenerator<SampleArray> {
    const range = { id: series.id, startNs, endNs, format: 'octet', physical: false, signal } as const;
    const stream = await readAll(sources.samples, principal, range);
    if (stream.rows !== planned) {
      throw new VarveError('conflict', `${series.name} has changed while it was exported`, { slug: 'series-changed' });
    }
    for await (const batch of decodeOctets(stream.body, shape)) yield batch.values;
  }
  return {
    series,
    rate,
    spans,
    annotations: await annotationsOf(sources, principal, series, { startNs, endNs }),
    values,
  };
}

async function spansOf(
  { timeAxis }: ExportSources,
  principal: Principal,
  id: string,
  clip: (span: ExportedSpan) => ExportedSpan | null,
): Promise<ExportedSpan[]> {
  const spans: ExportedSpan[] = [];
  let after: bigint | null = null;
  do {
    const page: Awaited<ReturnType<TimeAxisService['segments']>> = await timeAxis.segments(
      principal,
      { id },
      { limit: PAGE, after },
    );
    for (const span of page.items) {
      const clipped = clip(span);
      if (clipped) spans.push(clipped);
    }
    after = page.after;
  } while (after !== null);
  return spans;
}

async function annotationsOf(
  { series }: ExportSources,
  principal: Principal,
  { id, name }: Series,
  range: { readonly startNs?: bigint; readonly endNs?: bigint },
): Promise<Annotation[]> {
  const found: Annotation[] = [];
  let page: Awaited<ReturnType<SeriesService['annotations']>> = { items: [], after: null };
  do {
    page = await series.annotations(principal, id, range, { limit: PAGE, after: page.after });
    found.push(...page.items);
    if (found.length > MOST_ANNOTATIONS) {
      throw new VarveError('limit-exceeded', `${name} has more than ${MOST_ANNOTATIONS} annotations: export a range`);
    }
  } while (page.after !== null);
  return found;
}
