/** Makes the catalog again from the shards alone: for the day on which Postgres is lost and there is no backup of it. No shard is changed. */
import { v7 as uuidv7 } from 'uuid';
import { readCatalogIdentity } from '../../catalog/catalog-identity.ts';
import type { Database } from '../../catalog/database.ts';
import {
  confirmHash,
  fillEmptyCatalog,
  type EmptyCatalog,
  type RebuiltSeries,
} from '../../catalog/shards/rebuild-store.ts';
import type { Chunk } from '../../core/rows/chunk.ts';
import { DTYPES, viewAs } from '../../core/numbers/dtype.ts';
import { erasuresOf, expiry, isErased, type Erasure } from '../../core/rows/erasure.ts';
import { isVarveError, messageOf } from '../../core/errors.ts';
import type { RowShape } from '../../core/numbers/missing-value.ts';
import { parseRate } from '../../core/signal/rate.ts';
import {
  absentRows,
  describing,
  rebuildMarks,
  rebuildMasks,
  rebuildRows,
  rebuildSegments,
  type FileLayer,
  type RebuiltRows,
} from '../../core/upkeep/rebuild-plan.ts';
import { countRows, withoutRows } from '../../core/signal/row-ranges.ts';
import { endsOf, selectRows, type RowRange } from '../../core/signal/segment.ts';
import { INT64_MAX, INT64_MIN } from '../../core/time.ts';
import { nameKey } from '../../core/same-name.ts';
import type { ContentHash, Sampling } from '../../core/signal/series.ts';
import type { CodecPool } from '../../storage/threads/codec-pool.ts';
import { isSpoolFile, keepSpooled, listSpoolFiles } from '../../storage/folder/data-files.ts';
import type { DataRoot } from '../../storage/folder/data-root.ts';
import { giveFolder } from '../../storage/folder/folder-owner.ts';
import type { Hdf5Reader } from '../../storage/survey/hdf5-reader.ts';
import { finding, type Finding } from '../finding.ts';
import { hashContent } from '../close/hash-content.ts';
import { chunksToRebuild } from './rebuild-chunks.ts';
import { summariesToRebuild } from './rebuild-summaries.ts';
import { surveyFiles, type FoundFiles, type FoundTold, type Remarks } from './rebuild-survey.ts';
import { unitsOf } from '../series/tag-units.ts';

export interface RebuildCatalogDeps {
  readonly db: Database;
  readonly root: DataRoot;
  readonly hdf5: Pick<Hdf5Reader, 'survey' | 'findChunks' | 'findSummaries'>;
  readonly codec: CodecPool;
}

export interface RebuildCatalogReport {
  readonly shards: number;
  readonly series: number;
  readonly chunks: number;
  readonly rows: number;
  /** Bytes of samples. */
  readonly bytes: number;
  /** What is lost, or has to be looked at. */
  readonly findings: readonly Finding[];
  /** What was decided on the way. */
  readonly notes: readonly Finding[];
  /** What no shard holds, in words. */
  readonly notInShards: readonly string[];
}

export const NOT_IN_SHARDS: readonly string[] = [
  'series without samples',
  'samples, edits, deletions and changes of names, tags and calibrations since the newest flush of their lane; large appends among them are kept as files in spool/kept',
  'descriptions, external ids, provenance and history of series, and the files and starts of recordings',
  'annotations, vocabularies, retention rules, and what is known of subjects',
  'tokens, but for the first one, which the next start makes work again',
  'idempotency keys and the change feed; commit numbers go on far beyond the newest one that is known',
  'the checksums: they are made anew from the bytes as they are, damaged or not',
];

/**
 * The lost catalog may have given out numbers that no file tells. None of them is given out again. So whoever has
 * followed the feed, or kept an entity tag, takes nothing new for what is known already.
 */
const LOST_COMMITS = 1_000_000_000n;

type RebuildPhase = 'shards' | 'series';

/**
 * Makes the catalog again.
 * @param onProgress told of shards looked at, then of series put together
 * @throws conflict `catalog-not-empty`; whatever keeps it from being complete, and the catalog stays empty then
 */
export async function rebuildCatalog(
  deps: RebuildCatalogDeps,
  onProgress: (phase: RebuildPhase, done: number, total: number) => void = () => {},
): Promise<RebuildCatalogReport> {
  const tally = new RebuildTally();
  const plans = await fillEmptyCatalog(deps.db, async (catalog) => {
    const files = await surveyFiles(deps, tally, (done, total) => onProgress('shards', done, total));
    const all = chooseNames(
      [...files.told.values()].map((told) => planRebuiltSeries(told, tally)),
      tally,
    );
    await catalog.begin(commitAfter(files));
    await addPlaces(catalog, all, files, tally);
    for (const [done, plan] of all.entries()) {
      onProgress('series', done, all.length);
      await addSeries(deps, catalog, plan, tally);
    }
    for (const [id, bytes] of tally.shards) {
      await catalog.finishShard(id, bytes, tally.withoutSummaries.has(id) ? 0 : files.shards.get(id)!.level);
    }
    onProgress('series', all.length, all.length);
    return all;
  });
  await keepSpoolFiles(deps.root, tally);
  giveFolder(deps.root, (await readCatalogIdentity(deps.db)).id);
  for (const { series } of plans) if (series.contentHash) await checkHash(deps, series, series.contentHash, tally);
  const { shards, chunks, bytes, findings, notes } = tally;
  const rows = plans.reduce((sum, { series }) => sum + series.rows, 0);
  return {
    shards: shards.size,
    series: plans.length,
    chunks,
    rows,
    bytes,
    findings,
    notes,
    notInShards: NOT_IN_SHARDS,
  };
}

class RebuildTally implements Remarks {
  /** Bytes of the chunks, by shard. */
  readonly shards = new Map<string, number>();
  /** Shards that have to be compacted again. */
  readonly withoutSummaries = new Set<string>();
  chunks = 0;
  bytes = 0;
  readonly findings: Finding[] = [];
  readonly notes: Finding[] = [];
}

function commitAfter({ told, highestCommit }: FoundFiles): bigint {
  let highest = highestCommit;
  for (const { commit, record } of [...told.values()].flat()) {
    for (const each of [commit, record.contentHash?.commit ?? 0n]) if (each > highest) highest = each;
  }
  return highest + LOST_COMMITS;
}

interface SeriesPlan {
  readonly series: RebuiltSeries;
  readonly rows: RebuiltRows<FoundTold>;
  /** Rows that are removed or have expired. */
  readonly absent: readonly RowRange[];
  /** Files that tell what no other file does. */
  readonly needed: ReadonlySet<string>;
}

/** @param all what files say of one series, in their order */
function planRebuiltSeries(all: readonly FoundTold[], tally: RebuildTally): SeriesPlan {
  const described = describing(all);
  const { seriesId: id, record } = described;
  const { version, project, startNs, startTolerance, ...description } = record.description;
  const told = all.filter((each) => isAlike(each, described, tally));
  const rows = rebuildRows(told);
  reportRows(id, rows, tally);
  const masks = rebuildMasks(told, rows.rows);
  const rate = description.rate === null ? undefined : parseRate(description.rate);
  const segments = rate ? rebuildSegments(rows.layers, rate, rows.rows, masks.holes) : [];
  if (rate && rows.rows > 0 && segments.length === 0) {
    tally.findings.push(finding('segments-missing', 'no shard says when its rows were', { series: id }));
  }
  const sampling: Sampling = rate
    ? {
        kind: 'regular',
        rate,
        startNs,
        ...(startTolerance !== null && { startTolerance }),
      }
    : { kind: 'irregular' };
  const newest = told.at(-1)!;
  return {
    series: {
      ...description,
      ...masks,
      id,
      laneId: newest.laneId,
      project,
      sampling,
      segments,
      marks: rate ? rebuildMarks(told, rows.layers, rows.rows) : [],
      rows: rows.rows,
      version: version + 1,
      description: null,
      externalIds: {},
      provenance: {},
      createdAt: timeOfId(id),
      sealedAt: record.sealedAt,
      deletedAt: record.deletedAt,
      contentHash: record.contentHash,
    },
    rows,
    absent: rate ? absentRows(told) : [],
    needed: new Set([
      described.shardId,
      newest.shardId,
      ...rows.layers.filter((layer) => isNeeded(layer)).map((layer) => layer.told.shardId),
    ]),
  };
}

/** Whether a file has rows that count, or may be the one that has the summaries of what has expired. */
function isNeeded({ told, claims, rows }: FileLayer<FoundTold>): boolean {
  const { level, record } = told;
  return (
    rows.length > 0 || (level === 1 && record.expiredNs !== null && countRows(claims) === countRows(record.claims))
  );
}

/** Whether rows are of the type that the series is said to have. */
function isAlike(told: FoundTold, { record }: FoundTold, tally: RebuildTally): boolean {
  const { dtype, channels, rate } = record.description;
  const shape = (type: string, width: number, of: string | null): string => `${width} × ${type}, ${of ?? 'irregular'}`;
  const wanted = shape(dtype, channels.length, rate);
  const is = told.dtype === null ? wanted : shape(told.dtype, told.channels!, told.record.description.rate);
  if (is === wanted) return true;
  const place = { series: told.seriesId, shard: told.shardId, path: told.path };
  tally.findings.push(finding('series-differs', `rows are ${is}, the series is ${wanted}; left out`, place));
  return false;
}

function reportRows(series: string, { missing, unwritten, cut }: RebuiltRows<FoundTold>, tally: RebuildTally): void {
  for (const { told, claim } of cut) {
    const message = `rows ${claim.from} to ${claim.to - 1} are in an order of time that other shards have only parts of; left out`;
    const place = { series, shard: told.shardId, path: told.path, row: claim.from };
    tally.findings.push(finding('rows-cut', message, place));
  }
  for (const { from, to } of missing) {
    tally.findings.push(finding('rows-missing', `rows ${from} to ${to - 1} are in no shard`, { series, row: from }));
  }
  if (unwritten) {
    const { from, to } = unwritten;
    const message = `rows ${from} to ${to - 1} had not reached a shard; the series ends before them`;
    tally.findings.push(finding('rows-unwritten', message, { series, row: from }));
  }
}

/**
 * Two series may bear one name by now: one that was renamed comes back as its shard calls it. The newer series keeps
 * the name.
 */
function chooseNames(plans: readonly SeriesPlan[], tally: RebuildTally): SeriesPlan[] {
  const taken = new Set<string>();
  // Ids of series begin with the time at which they were made.
  const newestFirst = [...plans].sort((a, b) => (a.series.id > b.series.id ? -1 : 1));
  return newestFirst.map((plan) => {
    const { id, project, name, deletedAt } = plan.series;
    if (deletedAt) return plan;
    const key = (as: string): string => JSON.stringify([nameKey(project), nameKey(as)]);
    const isFree = !taken.has(key(name));
    const chosen = isFree ? name : `${name} (${id})`;
    taken.add(key(chosen));
    if (isFree) return plan;
    const message = `another series of ${project} is called ${JSON.stringify(name)}, too; this one, renamed or deleted before, is now ${JSON.stringify(chosen)}`;
    tally.notes.push(finding('name-taken', message, { series: id }));
    return { ...plan, series: { ...plan.series, name: chosen } };
  });
}

/** Projects, lanes and shards. */
async function addPlaces(
  catalog: EmptyCatalog,
  plans: readonly SeriesPlan[],
  { shards }: FoundFiles,
  tally: RebuildTally,
): Promise<void> {
  for (const name of new Set(plans.map(({ series }) => series.project))) await catalog.addProject(name, uuidv7());
  const lanes = new Map([...shards.values()].map(({ laneId }) => [laneId, 0]));
  for (const { series } of plans) lanes.set(series.laneId, (lanes.get(series.laneId) ?? 0) + 1);
  for (const [laneId, series] of lanes) await catalog.addLane(laneId, series);
  const needed = new Set(plans.flatMap((plan) => [...plan.needed]));
  for (const shard of shards.values()) {
    const { id, path } = shard;
    if (!needed.has(id)) {
      const message = 'other shards tell all that it tells; left out';
      tally.notes.push(finding('shard-unneeded', message, { shard: id, path }));
      continue;
    }
    await catalog.addShard({ ...shard, madeAt: timeOfId(id) });
    tally.shards.set(id, 0);
  }
}

async function addSeries(
  deps: RebuildCatalogDeps,
  catalog: EmptyCatalog,
  { series, rows, absent }: SeriesPlan,
  tally: RebuildTally,
): Promise<void> {
  const { id, dtype, channels, missingValue, sampling, segments, expiredNs } = series;
  const shape = { dtype, channels: channels.length, missingValue };
  const rowBytes = channels.length * DTYPES[dtype].bytes + (sampling.kind === 'irregular' ? DTYPES.int64.bytes : 0);
  await catalog.addSeries(series, unitsOf(series.tags));
  const erasures = [...series.erasures, ...(expiredNs === null ? [] : [expiry(expiredNs)])];
  let firstNs: bigint | null = null;
  let lastNs: bigint | null = null;
  const see = (ns: bigint): void => {
    if (firstNs === null || ns < firstNs) firstNs = ns;
    if (lastNs === null || ns > lastNs) lastNs = ns;
  };
  for (const { told, rows: ranges } of rows.layers) {
    const blocks = new Map<number, number>();
    for await (const { found, missing } of chunksToRebuild(deps, told, shape, ranges)) {
      await catalog.addChunks(found.map(({ chunk }) => chunk));
      for (const { chunk, times } of found) {
        tally.chunks++;
        tally.bytes += chunk.rows * rowBytes;
        blocks.set(chunk.values.offset, chunk.values.length + (chunk.times?.length ?? 0));
        if (times) for (const ns of timesThere(chunk, times, erasuresOf(chunk, erasures))) see(ns);
      }
      for (const { rows: range, why } of missing) {
        const message = `rows ${range.from} to ${range.to - 1} are missing: ${why}`;
        const place = { series: id, shard: told.shardId, path: told.path, row: range.from };
        tally.findings.push(finding('rows-missing', message, place));
      }
    }
    const bytes = [...blocks.values()].reduce((sum, each) => sum + each, 0);
    tally.shards.set(told.shardId, (tally.shards.get(told.shardId) ?? 0) + bytes);
  }
  await addSummaries(deps, catalog, id, rows.layers, shape, tally);
  if (sampling.kind === 'regular' && segments.length > 0) {
    const there = withoutRows(selectRows(segments, sampling.rate, expiredNs ?? INT64_MIN, INT64_MAX), absent);
    ({ firstNs, lastNs } = endsOf(there, segments, sampling.rate));
  }
  await catalog.setTimes(id, firstNs, lastNs);
}

async function addSummaries(
  deps: RebuildCatalogDeps,
  catalog: EmptyCatalog,
  seriesId: string,
  layers: readonly FileLayer<FoundTold>[],
  shape: RowShape,
  tally: RebuildTally,
): Promise<void> {
  // Files that are needed for nothing else have nothing that expired, or a newer shard has it.
  const known = layers.filter(({ told }) => tally.shards.has(told.shardId));
  try {
    const { found, without } = await summariesToRebuild(deps, known, shape);
    for (const { told, blocks } of found) await catalog.addSummaries(seriesId, told.shardId, blocks);
    for (const { shardId, path } of without) {
      const message = 'its summaries are of rows that other shards have, too: they are made anew of the samples';
      tally.notes.push(finding('summaries-left-out', message, { series: seriesId, shard: shardId, path }));
      tally.withoutSummaries.add(shardId);
    }
  } catch (error) {
    const message = `summaries cannot be read, and are made anew of the samples: ${messageOf(error)}`;
    tally.findings.push(finding('summary-corrupt', message, { series: seriesId }));
    for (const { told } of known) tally.withoutSummaries.add(told.shardId);
  }
}

/** Times of rows of a chunk that count, the smallest and the largest among them. */
function timesThere(chunk: Chunk, times: Buffer, erasures: readonly Erasure[]): Iterable<bigint> {
  if (erasures.length === 0) return [chunk.firstNs!, chunk.lastNs!];
  const all = viewAs('int64', times) as BigInt64Array;
  return all.filter((ns, i) => !isErased(chunk.firstRow + i, ns, erasures));
}

/** Whether a sealed series holds what was hashed; some of it may have expired since. */
async function checkHash(
  deps: RebuildCatalogDeps,
  { id, deletedAt, expiredNs }: RebuiltSeries,
  hash: ContentHash,
  tally: RebuildTally,
): Promise<void> {
  if (deletedAt) return;
  try {
    const found = await hashContent(deps, id);
    const wrong = (['rows', 'values', 'times'] as const).filter((part) => found[part] !== hash[part]);
    if (wrong.length === 0) await confirmHash(deps.db, id, hash);
    else if (expiredNs === null) {
      const message = `is not what was sealed: ${wrong.join(', ')} differ`;
      tally.findings.push(finding('content-hash', message, { series: id }));
    }
  } catch (error) {
    if (!isVarveError(error)) throw error;
    // Rows that cannot be read have been reported.
    if (error.code === 'corrupt') return;
    const message = `could not be compared with what was sealed: ${error.message}`;
    tally.notes.push(finding('content-hash', message, { series: id }));
  }
}

/**
 * The rows that named these files are gone with the catalog. Nobody would need the files, and they would be tidied up.
 */
async function keepSpoolFiles(root: DataRoot, tally: RebuildTally): Promise<void> {
  for (const { path, bytes } of await listSpoolFiles(root)) {
    if (!isSpoolFile(path)) continue;
    const kept = await keepSpooled(root, path);
    const message = `${bytes} bytes of appends that may have reached no shard are kept here`;
    tally.findings.push(finding('spool-kept', message, { path: kept }));
  }
}

/** When an id was made, if it says so (RFC 9562, version 7: the first 48 bits are milliseconds). */
function timeOfId(id: string): Date | null {
  return id[14] === '7' ? new Date(parseInt(id.slice(0, 8) + id.slice(9, 13), 16)) : null;
}
