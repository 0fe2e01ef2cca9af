/**
 * Verification. Every byte that the catalog names is there and matches its checksum, and what the catalog says of it is
 * true. HDF5 finds the same bytes in the same places, and files and rows know of each other. Nothing is changed.
 */
import { crc32 } from 'node:zlib';
import type { Database } from '../../catalog/database.ts';
import { freshPages, isFresh, type FreshBytes } from '../../catalog/appends/fresh-store.ts';
import {
  findSeriesIds,
  getShard,
  listShards,
  shardChunks,
  shardSeries,
  type ShardRecord,
  type ShardSeries,
} from '../../catalog/shards/shard-store.ts';
import { readSegments } from '../../catalog/appends/edit-store.ts';
import { sessionOf } from '../../catalog/session.ts';
import { shardSummaries } from '../../catalog/chunks/summary-row.ts';
import { segmentOverlaps, tilingBreaks } from '../../catalog/appends/tiling.ts';
import { hashedSeries } from '../../catalog/series/seal-store.ts';
import type { Chunk } from '../../core/rows/chunk.ts';
import { DTYPES } from '../../core/numbers/dtype.ts';
import { isVarveError, messageOf } from '../../core/errors.ts';
import { segmentAt, timeWithin, type Segment } from '../../core/signal/segment.ts';
import type { SummaryBlock } from '../../core/overview/summary-block.ts';
import { contentDifferences, contentOf } from '../../storage/read/chunk-content.ts';
import type { CodecPool } from '../../storage/threads/codec-pool.ts';
import { listShardFiles, type DataFile } from '../../storage/folder/data-files.ts';
import { spoolPath, type DataRoot } from '../../storage/folder/data-root.ts';
import type { Hdf5Reader } from '../../storage/survey/hdf5-reader.ts';
import { ShardBytes } from '../../storage/shard/shard-bytes.ts';
import { readSpooled } from '../../storage/folder/spool.ts';
import { readStoredPart, type StoredPart } from '../../storage/read/stored-chunk.ts';
import { readSummaries } from '../../storage/read/summary-reader.ts';
import { nowhere, type ChunkPlace } from '../../storage/survey/chunk-place.ts';
import type { ShardSurvey, SurveyedSeries } from '../../storage/survey/shard-survey.ts';
import { finding, formatAge, type Finding, type FindingPlace } from '../finding.ts';
import { hashContent } from '../close/hash-content.ts';

export interface VerifyDeps {
  readonly db: Database;
  readonly root: DataRoot;
  readonly hdf5: Pick<Hdf5Reader, 'survey' | 'findChunks'>;
  readonly codec: CodecPool;
}

/** The scope, if it is less than everything: only what belongs to it is looked at. */
export interface VerifyScope {
  /** Id of a shard. */
  readonly shard?: string;
  /** Id of a series, or the name of one or more. */
  readonly series?: string;
}

export interface VerifyReport {
  readonly shards: number;
  readonly chunks: number;
  readonly bytes: number;
  /** What is wrong. */
  readonly findings: readonly Finding[];
  /** What commits and processes that did not come to their end have left over, and does no harm. */
  readonly notes: readonly Finding[];
}

const NS_BYTES = DTYPES.int64.bytes;

/**
 * Verifies one shard at a time, and a page of chunks at a time; it may run beside the service.
 * @param onProgress called before every shard, and at the end
 * @throws not-found if the scope names nothing
 */
export async function verify(
  deps: VerifyDeps,
  onProgress: (done: number, total: number) => void,
  scope: VerifyScope = {},
): Promise<VerifyReport> {
  const only = scope.series === undefined ? null : await findSeriesIds(deps.db, scope.series);
  const isAll = !only && scope.shard === undefined;
  // Files first: one that appears after this has a row that is read after it.
  const files = isAll ? await listShardFiles(deps.root) : [];
  const shards = scope.shard === undefined ? await listShards(deps.db, only) : [await getShard(deps.db, scope.shard)];
  const tally = new VerifyTally();
  for (const [done, shard] of shards.entries()) {
    onProgress(done, shards.length);
    if (shard.state !== 'replaced') await verifyShard(deps, tally, shard, only);
  }
  if (scope.shard === undefined) {
    await verifyFresh(deps, tally, only);
    await verifyTiling(deps.db, tally, only);
    await verifyContent(deps, tally, only);
  }
  if (isAll) {
    noteFiles(tally, files, shards);
  }
  onProgress(shards.length, shards.length);
  const { chunks, bytes, findings, notes } = tally;
  return { shards: shards.length, chunks, bytes, findings, notes };
}

class VerifyTally {
  chunks = 0;
  summaryCells = 0;
  bytes = 0;
  readonly findings: Finding[] = [];
  readonly notes: Finding[] = [];

  found(kind: string, message: string, place?: FindingPlace): void {
    this.findings.push(finding(kind, message, place));
  }

  noted(kind: string, message: string, place?: FindingPlace): void {
    this.notes.push(finding(kind, message, place));
  }
}

async function verifyShard(
  deps: VerifyDeps,
  tally: VerifyTally,
  shard: ShardRecord,
  only: readonly string[] | null,
): Promise<void> {
  const place = { shard: shard.id, path: shard.path };
  const allSeries = await shardSeries(deps.db, shard.id, only);
  const file = await ShardBytes.open(deps.root, shard.path);
  if (!file) {
    const held = allSeries.length;
    if (held === 0) return tally.noted('shard-missing', 'the file is missing; it held no rows', place);
    return tally.found('shard-missing', `the file with rows of ${held} series is missing`, place);
  }
  try {
    if (file.length < shard.bytes) {
      tally.found('shard-short', `the file has ${file.length} bytes, ${shard.bytes} were committed`, place);
    }
    let survey: ShardSurvey | null = null;
    try {
      survey = await deps.hdf5.survey(deps.root.resolve(shard.path));
    } catch (error) {
      tally.found('hdf5-unreadable', `HDF5 cannot open it: ${messageOf(error)}`, place);
    }
    for (const series of allSeries) {
      const surveyed = survey && (await verifyExtent(deps, tally, shard, series, survey));
      const chunks = shardChunks(deps.db, shard.id, series.id);
      await verifyChunks(deps, tally, shard, series, file, chunks, surveyed && series.id);
    }
    for (const block of await shardSummaries(deps.db, shard.id, only))
      await verifySummary(deps.root, tally, shard, block);
  } finally {
    await file.close();
  }
  return undefined;
}

/** Compares what HDF5 says of a series with the catalog. @returns null if its chunks need not be looked for */
async function verifyExtent(
  deps: VerifyDeps,
  tally: VerifyTally,
  shard: ShardRecord,
  series: ShardSeries,
  survey: ShardSurvey,
): Promise<SurveyedSeries | null> {
  const place = { shard: shard.id, path: shard.path, series: series.id };
  const surveyed = survey.series.find(({ seriesId }) => seriesId === series.id);
  if (!surveyed) {
    const reason = survey.damaged.find(({ seriesId }) => seriesId === series.id)?.reason;
    tally.found('hdf5-series', reason ? `HDF5 cannot read its group: ${reason}` : 'HDF5 has no group of it', place);
    return null;
  }
  if (surveyed.dtype !== series.dtype || surveyed.channels !== series.channels) {
    const [has, wanted] = [surveyed, series].map(({ dtype, channels }) => `${channels} × ${dtype}`);
    tally.found('hdf5-type', `rows of HDF5 are ${has}, of the catalog ${wanted}`, place);
    return null;
  }
  if (surveyed.record.firstRow !== series.firstRow) {
    tally.found(
      'hdf5-first-row',
      `begins at row ${surveyed.record.firstRow}, in the catalog at ${series.firstRow}`,
      place,
    );
  }
  for (const [name, rows] of [
    ['values', surveyed.rows],
    ['time', series.rate ? null : (surveyed.timeRows ?? 0)],
  ] as const) {
    // It may have more: their chunks are in another shard by now.
    if (rows === null || rows >= series.datasetRows) continue;
    tally.found('dataset-short', `${name} has ${rows} rows, the catalog ${series.datasetRows}`, place);
  }
  if (series.rate)
    verifySegmentStarts(tally, series, surveyed, await readSegments(sessionOf(deps.db), series.id), place);
  return surveyed;
}

/**
 * The times that HDF5 has for rows of a regular series: where a claim begins, and wherever a segment does. It may tell
 * of rows whose time others have taken since, and which are in no segment any more.
 */
function verifySegmentStarts(
  tally: VerifyTally,
  series: ShardSeries,
  { record }: SurveyedSeries,
  segments: readonly Segment[],
  place: FindingPlace,
): void {
  const rate = series.rate!;
  const timeIn = (all: readonly Segment[], row: number): bigint | null => {
    const segment = all[segmentAt(all, row)];
    return segment && row < segment.firstRow + segment.rows ? timeWithin(segment, rate, row) : null;
  };
  const parts = record.claims.flatMap(({ from, to }) =>
    segments
      .filter(({ firstRow, rows }) => firstRow < to && firstRow + rows > from)
      .map(({ firstRow }) => Math.max(firstRow, from)),
  );
  const told = record.segments.map(({ firstRow }) => firstRow).filter((row) => timeIn(segments, row) !== null);
  const wrong = [...parts, ...told].find((row) => timeIn(record.segments, row) !== timeIn(segments, row));
  if (wrong === undefined) return;
  const [has, wanted] = [record.segments, segments].map((all) => {
    const ns = timeIn(all, wrong);
    return ns === null ? 'no entry' : `${ns} ns`;
  });
  tally.found('segments-differ', `HDF5 has ${has} for the row, the catalog ${wanted}`, { ...place, row: wrong });
}

/** @param group where HDF5 has the chunks; null: they need not be looked for */
async function verifyChunks(
  deps: VerifyDeps,
  tally: VerifyTally,
  shard: ShardRecord,
  series: ShardSeries,
  file: ShardBytes,
  pages: AsyncIterable<readonly Chunk[]>,
  group: string | null,
): Promise<void> {
  let isIndexSound = group !== null;
  for await (const chunks of pages) {
    for (const chunk of chunks) {
      tally.chunks++;
      tally.bytes += chunk.rows * (series.channels * DTYPES[series.dtype].bytes + (chunk.times ? NS_BYTES : 0));
      await verifyBytes(tally, shard, series, file, chunk);
    }
    // One finding says that the index is damaged; a second would say no more.
    if (group !== null && isIndexSound) isIndexSound = await verifyIndex(deps, tally, shard, group, chunks);
  }
}

async function verifyBytes(
  tally: VerifyTally,
  shard: ShardRecord,
  series: ShardSeries,
  file: ShardBytes,
  chunk: Chunk,
): Promise<void> {
  const place = { shard: shard.id, path: shard.path, series: chunk.seriesId, row: chunk.firstRow };
  const rows = `rows ${chunk.firstRow} to ${chunk.firstRow + chunk.rows - 1}`;
  const read = async (
    name: 'values' | 'times',
    { crc, ...part }: Omit<StoredPart, 'skip' | 'rows'> & { crc: number },
  ): Promise<Buffer | null> => {
    try {
      const stored = await readStoredPart(file, { ...part, skip: chunk.skip, rows: chunk.rows });
      if (stored.crc === crc) return await stored.rows();
      tally.found(`${name}-corrupt`, `${name} of ${rows} do not match their checksum`, place);
      return null;
    } catch (error) {
      tally.found(`${name}-unreadable`, `${name} of ${rows} cannot be read: ${messageOf(error)}`, place);
      return null;
    }
  };
  const rowBytes = series.channels * DTYPES[series.dtype].bytes;
  const values = await read('values', { block: chunk.values, codec: chunk.codec, rowBytes, crc: chunk.valuesCrc });
  const times =
    chunk.times &&
    (await read('times', {
      block: chunk.times,
      codec: chunk.timesCodec ?? 'none',
      rowBytes: NS_BYTES,
      crc: chunk.timesCrc!,
    }));
  if (!values || (chunk.times && !times)) return;
  const differences = contentDifferences(series, chunk, contentOf(series, values, times));
  if (differences.length > 0) {
    tally.found('chunk-statistics', `the catalog is wrong about ${rows}: ${differences.join(', ')}`, place);
  }
}

/** Whether the columns of a summary match their checksums, and decode. */
async function verifySummary(
  root: DataRoot,
  tally: VerifyTally,
  shard: ShardRecord,
  { seriesId, ...block }: SummaryBlock & { seriesId: string },
): Promise<void> {
  try {
    for await (const { cells } of readSummaries(root, [{ ...block, path: shard.path }])) tally.summaryCells += cells;
  } catch (error) {
    const place = { shard: shard.id, path: shard.path, series: seriesId, row: block.firstRow ?? undefined };
    tally.found('summary-corrupt', `a summary of every ${block.factor} rows: ${messageOf(error)}`, place);
  }
}

/** Whether HDF5 finds the chunks where the catalog has them: any other reader of the file goes by HDF5's index. */
async function verifyIndex(
  deps: VerifyDeps,
  tally: VerifyTally,
  shard: ShardRecord,
  group: string,
  chunks: readonly Chunk[],
): Promise<boolean> {
  const place = { shard: shard.id, path: shard.path, series: chunks[0].seriesId };
  const path = deps.root.resolve(shard.path);
  const rows = chunks.map(({ datasetRow, skip }) => datasetRow - skip);
  const places = await deps.hdf5
    .findChunks(path, group, rows)
    .catch(({ message }: Error) => rows.map(() => nowhere(message)));
  const at = chunks.findIndex((chunk, i) => placeProblem(chunk, places[i]) !== null);
  if (at >= 0) tally.found('hdf5-index', placeProblem(chunks[at], places[at])!, { ...place, row: chunks[at].firstRow });
  return at < 0;
}

function placeProblem({ values, times }: Chunk, place: ChunkPlace): string | null {
  if (place.problem !== null) return `HDF5 cannot read the chunk: ${place.problem}`;
  for (const [name, has, wanted] of [
    ['values', place.valuesOffset, values.offset],
    ['times', place.timesOffset, times && times.offset],
  ] as const) {
    if (has !== wanted) return `HDF5 has the ${name} at ${has ?? 'no place'}, the catalog at ${wanted ?? 'no place'}`;
  }
  return null;
}

/** Verifies what is in no shard yet, in Postgres and in spool files. */
async function verifyFresh(
  { db, root }: VerifyDeps,
  tally: VerifyTally,
  only: readonly string[] | null,
): Promise<void> {
  for await (const page of freshPages(db, only)) {
    for (const chunk of page) {
      tally.chunks++;
      const { rows, valuesLength, timesCrc, seriesId, firstRow, place } = chunk;
      tally.bytes += valuesLength + (timesCrc === null ? 0 : rows * NS_BYTES);
      const problem = await freshProblem(root, chunk);
      if (problem === null || !(await isFresh(db, chunk.id))) continue;
      const path = place.kind === 'spool' ? spoolPath(place.spoolId) : null;
      const message = `rows ${firstRow} to ${firstRow + rows - 1}, in no shard yet: ${problem}`;
      tally.found('fresh-corrupt', message, { series: seriesId, row: firstRow, path });
    }
  }
}

async function freshProblem(root: DataRoot, chunk: FreshBytes): Promise<string | null> {
  const { place, rows, valuesLength, valuesCrc, timesCrc } = chunk;
  try {
    const read = (offset: number, length: number): Promise<Buffer> =>
      readSpooled(root, (place as { spoolId: string }).spoolId, offset, length);
    const values = place.kind === 'held' ? place.values : await read(place.valuesOffset, valuesLength);
    if (crc32(values) !== valuesCrc) return 'values do not match their checksum';
    if (timesCrc === null) return null;
    const times = place.kind === 'held' ? place.times! : await read(place.timesOffset!, rows * NS_BYTES);
    return crc32(times) === timesCrc ? null : 'times do not match their checksum';
  } catch (error) {
    return messageOf(error);
  }
}

async function verifyTiling(db: Database, tally: VerifyTally, only: readonly string[] | null): Promise<void> {
  for (const { seriesId, what, from, to } of await tilingBreaks(db, only)) {
    const message =
      to > from
        ? `rows ${from} to ${to - 1} are in no ${what.slice(0, -1)}`
        : `rows ${to} to ${from - 1} are in more than one of the ${what}, or past the end of the series`;
    tally.found(`${what}-${to > from ? 'missing' : 'overlap'}`, message, { series: seriesId, row: Math.min(from, to) });
  }
  for (const { seriesId, firstRow } of await segmentOverlaps(db, only)) {
    const message = 'the segment begins before the one before it in time has ended';
    tally.found('segments-time', message, { series: seriesId, row: firstRow });
  }
}

/** Verifies that sealed series still hold what was hashed, unless some of it has expired since. */
async function verifyContent(deps: VerifyDeps, tally: VerifyTally, only: readonly string[] | null): Promise<void> {
  for (const { id, hash } of await hashedSeries(deps.db, only)) {
    const place = { series: id };
    try {
      const found = await hashContent(deps, id);
      if (found.commit !== hash.commit) continue;
      const wrong = (['rows', 'values', 'times'] as const).filter((part) => found[part] !== hash[part]);
      if (wrong.length > 0) tally.found('content-hash', `is not what was sealed: ${wrong.join(', ')} differ`, place);
    } catch (error) {
      if (!isVarveError(error)) throw error;
      // Damage has been found chunk by chunk, and deleted series are nobody's business.
      if (error.code === 'corrupt' || error.code === 'not-found') continue;
      tally.noted('content-hash', `could not be compared with what was sealed: ${error.message}`, place);
    }
  }
}

function noteFiles(tally: VerifyTally, files: readonly DataFile[], shards: readonly ShardRecord[]): void {
  const byPath = new Map(shards.map((shard) => [shard.path, shard.id]));
  for (const { path, bytes, ageMs } of files) {
    if (byPath.has(path)) continue;
    tally.noted('orphan-file', `no row names this file of ${bytes} bytes, last written ${formatAge(ageMs)} ago`, {
      path,
    });
  }
}
