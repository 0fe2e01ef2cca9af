/**
 * Makes the catalog again from the shards alone: for the day on which Postgres is lost and there is no backup of it. The shards are not changed.
 * Files that no catalog names any more (of rewritings that never ended, or that were replaced) change nothing: see core/rebuild-plan.
 */
import { v7 as uuidv7 } from 'uuid';
import { readCatalogIdentity } from '../catalog/catalog-identity.ts';
import type { Database } from '../catalog/database.ts';
import { fillEmptyCatalog, type EmptyCatalog } from '../catalog/rebuild.ts';
import type { Chunk } from '../core/chunk.ts';
import { DTYPES, viewAs } from '../core/dtype.ts';
import { erasuresOf, expiry, isErased, type Erasure } from '../core/erasure.ts';
import { isVarveError } from '../core/errors.ts';
import { parseRate } from '../core/rate.ts';
import { countRowsOf, segmentsOfCounted, type CountedSeries, type ToldSeries } from '../core/rebuild-plan.ts';
import { clipRows, withoutRows } from '../core/row-ranges.ts';
import { timesOfRows, type RowRange, type Segment } from '../core/segment.ts';
import { nameKey } from '../core/same-name.ts';
import type { NewSeries, Sampling } from '../core/series.ts';
import type { SeriesRecord } from '../core/series-record.ts';
import { contentOf } from '../storage/chunk-content.ts';
import { nowhere } from '../storage/chunk-place.ts';
import type { CodecPool } from '../storage/codec-pool.ts';
import { isSpoolFile, keepSpooled, listShardFiles, listSpoolFiles, parseShardName } from '../storage/data-files.ts';
import { shardPath, type DataRoot } from '../storage/data-root.ts';
import { giveFolder } from '../storage/folder-owner.ts';
import type { Hdf5Reader } from '../storage/hdf5-reader.ts';
import { ShardBytes } from '../storage/shard-bytes.ts';
import type { ShardSurvey, SurveyedSeries } from '../storage/shard-survey.ts';
import { readStoredPart } from '../storage/stored-chunk.ts';
import { finding, type Finding } from './finding.ts';
import { hashContent } from './hash-content.ts';
import { unitsOf } from './tag-units.ts';

export interface RebuildCatalogDeps {
  readonly db: Database;
  readonly root: DataRoot;
  readonly hdf5: Pick<Hdf5Reader, 'survey' | 'findChunks'>;
  readonly codec: CodecPool;
}

export interface RebuildCatalogReport {
  readonly shards: number;
  readonly series: number;
  readonly chunks: number;
  readonly rows: number;
  /** Of samples. */
  readonly bytes: number;
  /** What is lost, or has to be looked at. */
  readonly findings: readonly Finding[];
  /** What was decided on the way. */
  readonly notes: readonly Finding[];
  /** What no shard holds, in words. */
  readonly notInShards: readonly string[];
}

export const NOT_IN_SHARDS: readonly string[] = [
  'samples, edits and series that no flush had told yet; files of the spool are kept in spool/kept',
  'descriptions, external ids and provenance of series, and changes of their names, tags and calibrations since their newest shard was made',
  'annotations, history, and what is known of subjects',
  'tokens, but for the first one, which the next start makes work again',
  'rules of retention, and vocabularies',
  'idempotency keys and the feed of changes',
  'summaries: overviews read samples instead, until the shards are rewritten; of samples that have expired nothing is left',
  'the checksums: they are made anew from the bytes as they are, damaged or not',
];

/** Chunks that are looked for and read at once: their blocks are at most 1 MiB (of rows that are not larger). */
const PAGE_CHUNKS = 64;
const NS_BYTES = DTYPES.int64.bytes;

type Phase = 'shards' | 'series';

/**
 * @param onProgress shards looked at, then series put together
 * @throws conflict `catalog-not-empty`; whatever keeps it from being complete, and the catalog stays empty then
 */
export async function rebuildCatalog(
  deps: RebuildCatalogDeps,
  onProgress: (phase: Phase, done: number, total: number) => void = () => {},
): Promise<RebuildCatalogReport> {
  const tally = new Tally();
  const { plans } = await fillEmptyCatalog(deps.db, async (catalog) => {
    const { shards, series } = await surveyShards(deps, tally, (done, total) => onProgress('shards', done, total));
    const newestCommit = [...shards.values()].reduce((most, { commit }) => (commit > most ? commit : most), 0n);
    const found = [...series].map(([id, told]) => planSeries(id, told, tally));
    const chosen = chooseNames(found, tally);
    await addPlaces(catalog, chosen, shards, tally);
    for (const [done, plan] of chosen.entries()) {
      onProgress('series', done, chosen.length);
      await addSeries(deps, catalog, plan, tally);
    }
    onProgress('series', chosen.length, chosen.length);
    await keepSpool(deps.root, tally);
    return { plans: chosen, newestCommit };
  });
  giveFolder(deps.root, (await readCatalogIdentity(deps.db)).id);
  for (const plan of plans) await checkHash(deps, plan, tally);
  const { shards, chunks, bytes, findings, notes } = tally;
  const rows = plans.reduce((sum, { counted }) => sum + counted.rows, 0);
  return { shards, series: plans.length, chunks, rows, bytes, findings, notes, notInShards: NOT_IN_SHARDS };
}

class Tally {
  shards = 0;
  chunks = 0;
  bytes = 0;
  readonly findings: Finding[] = [];
  readonly notes: Finding[] = [];
}

type FoundShard = Pick<ShardSurvey, 'laneId' | 'commit' | 'firstCommit' | 'level'> & {
  readonly id: string;
  readonly path: string;
  readonly bytes: number;
};

/** One series in one shard. */
type Told = ToldSeries & SurveyedSeries & Pick<FoundShard, 'laneId' | 'path'>;

async function surveyShards(
  { root, hdf5 }: RebuildCatalogDeps,
  tally: Tally,
  onProgress: (done: number, total: number) => void,
): Promise<{ shards: Map<string, FoundShard>; series: Map<string, Told[]> }> {
  const files = await listShardFiles(root);
  const shards = new Map<string, FoundShard>();
  const series = new Map<string, Told[]>();
  for (const [done, { path, bytes }] of files.entries()) {
    onProgress(done, files.length);
    const name = parseShardName(path);
    if (!name || path !== shardPath(name.shardId, name.commit)) {
      tally.notes.push(finding('other-file', 'is no shard by its name', { path }));
      continue;
    }
    const survey = await hdf5.survey(root.resolve(path)).catch((error: Error) => {
      tally.findings.push(finding('hdf5-unreadable', `HDF5 cannot open it: ${error.message}`, { path }));
      return null;
    });
    if (!survey) continue;
    const { shardId: id, laneId, commit, firstCommit, level } = survey;
    if (shards.has(id)) {
      const place = { path, shard: id };
      tally.findings.push(finding('shard-twice', 'is a shard that another file is, too; left out', place));
      continue;
    }
    shards.set(id, { id, laneId, path, bytes, commit, firstCommit, level });
    for (const { seriesId, reason } of survey.damaged) {
      const place = { path, shard: id, series: seriesId };
      tally.findings.push(finding('hdf5-series', `HDF5 cannot read its group: ${reason}`, place));
    }
    for (const one of survey.series) {
      const told: Told = { ...one, shardId: id, laneId, path, commit, level };
      series.set(one.seriesId, [...(series.get(one.seriesId) ?? []), told]);
    }
  }
  onProgress(files.length, files.length);
  return { shards, series };
}

interface SeriesPlan {
  readonly id: string;
  readonly laneId: string;
  readonly commit: bigint;
  readonly input: NewSeries;
  readonly version: number;
  readonly counted: CountedSeries<Told>;
  readonly segments: readonly Segment[];
  /** What its newest shard says of it. */
  readonly newest: SeriesRecord;
  readonly edits: number;
}

function planSeries(id: string, all: readonly Told[], tally: Tally): SeriesPlan {
  const described = all.reduce((a, b) => (b.record.description.version >= a.record.description.version ? b : a));
  const { externalIds, provenance, description } = { externalIds: {}, provenance: {}, description: null };
  const { version, rate: rateText, ...told } = described.record.description;
  const shape = ({ record: { description: d } }: Told): string =>
    `${d.channels.length} × ${d.dtype}, ${d.rate ?? 'irregular'}`;
  const alike = all.filter((each) => {
    const { dtype, channels } = each;
    const isAlike = shape(each) === shape(described);
    return isAlike && (dtype === null || (dtype === told.dtype && channels === told.channels.length));
  });
  for (const each of all.filter((one) => !alike.includes(one))) {
    const message = `rows are ${shape(each)}, in another shard ${shape(described)}; ${each.rows} rows are left out`;
    tally.findings.push(finding('series-differs', message, { ...placeOf(id, each), row: each.record.firstRow }));
  }
  const rate = rateText === null ? null : parseRate(rateText)!;
  const counted = countRowsOf(alike, rate === null);
  for (const { from, to } of counted.missing) {
    const message = `rows ${from} to ${to - 1} are in no shard`;
    tally.findings.push(finding('rows-missing', message, { series: id, row: from }));
  }
  for (const { told: file, claim } of counted.cut) {
    const message = `rows ${claim.from} to ${claim.to - 1} of this shard are claimed by a later one in part, and cannot be told apart`;
    tally.findings.push(finding('claim-cut', message, { ...placeOf(id, file), row: claim.from }));
  }
  const segments = rate ? segmentsOfCounted(counted, rate) : [];
  const sampling: Sampling = rate
    ? { kind: 'regular', rate, startNs: segments[0]?.startNs ?? null }
    : { kind: 'irregular' };
  const newest = counted.files.at(-1)!.told;
  const generations = alike.flatMap(({ record }) => [
    record.generation,
    ...record.erasures.map(({ generation }) => generation),
  ]);
  return {
    id,
    laneId: newest.laneId,
    commit: newest.commit,
    input: { ...told, description, externalIds, provenance, sampling },
    version,
    counted,
    segments,
    newest: newest.record,
    edits: Math.max(0, ...generations),
  };
}

function placeOf(
  series: string,
  { shardId, path }: Pick<Told, 'shardId' | 'path'>,
): { series: string; shard: string; path: string } {
  return { series, shard: shardId, path };
}

/** Two series may bear one name by now: one that was renamed comes back as its shard calls it. The newer one keeps the name. */
function chooseNames(plans: readonly SeriesPlan[], tally: Tally): SeriesPlan[] {
  const taken = new Set<string>();
  // Ids of series begin with the time at which they were made.
  const newestFirst = [...plans].sort((a, b) => (a.id > b.id ? -1 : 1));
  return newestFirst.map((plan) => {
    const { project, name } = plan.input;
    if (plan.newest.deletedAt) return plan;
    const keyOf = (text: string): string => JSON.stringify([nameKey(project), nameKey(text)]);
    const isFree = !taken.has(keyOf(name));
    const chosen = isFree ? name : `${name} (${plan.id})`;
    taken.add(keyOf(chosen));
    if (isFree) return plan;
    const message = `another series of ${project} is called ${JSON.stringify(name)}, too; this one, renamed before, is now ${JSON.stringify(chosen)}`;
    tally.notes.push(finding('name-taken', message, { series: plan.id }));
    return { ...plan, input: { ...plan.input, name: chosen } };
  });
}

/** Projects, lanes and shards. */
async function addPlaces(
  catalog: EmptyCatalog,
  plans: readonly SeriesPlan[],
  shards: ReadonlyMap<string, FoundShard>,
  tally: Tally,
): Promise<void> {
  for (const name of new Set(plans.map(({ input }) => input.project))) await catalog.addProject(name, uuidv7());
  const seriesCounts = new Map<string, number>();
  for (const { laneId } of plans) seriesCounts.set(laneId, (seriesCounts.get(laneId) ?? 0) + 1);
  const needed = new Set(
    plans.flatMap(({ counted }) =>
      counted.files.filter(({ ranges }) => ranges.length > 0).map(({ told }) => told.shardId),
    ),
  );
  for (const { laneId } of shards.values()) if (!seriesCounts.has(laneId)) seriesCounts.set(laneId, 0);
  for (const [laneId, count] of seriesCounts) await catalog.addLane(laneId, count);
  for (const shard of shards.values()) {
    const { id, path } = shard;
    if (!needed.has(id)) {
      tally.notes.push(finding('shard-unneeded', 'none of its rows count; left out', { shard: id, path }));
      continue;
    }
    await catalog.addShard({ ...shard, createdAt: timeOfId(id) });
    tally.shards++;
  }
}

async function addSeries(
  deps: RebuildCatalogDeps,
  catalog: EmptyCatalog,
  { id, laneId, commit, input, version, counted, segments, newest, edits }: SeriesPlan,
  tally: Tally,
): Promise<void> {
  const within = { from: 0, to: counted.rows };
  const holes = clipRows(newest.holes, within);
  const { removed, expiredNs, summariesExpiredNs, erasures, sealedAt, contentHash, deletedAt } = newest;
  const masks = { removed, edits, expiredNs, summariesExpiredNs, holes, erasures };
  const state = { sealedAt, contentHash, deletedAt };
  await catalog.addSeries(
    { ...input, id, laneId, version, createdAt: timeOfId(id), rows: counted.rows, segments, ...masks, ...state },
    commit,
    unitsOf(input.tags),
  );
  let firstNs: bigint | null = null;
  let lastNs: bigint | null = null;
  const see = (ns: bigint): void => {
    if (firstNs === null || ns < firstNs) firstNs = ns;
    if (lastNs === null || ns > lastNs) lastNs = ns;
  };
  const hidden = [...erasures, ...(expiredNs === null ? [] : [expiry(expiredNs)])];
  for (const { told, ranges } of counted.files) {
    if (told.dtype === null) continue;
    for (const run of ranges.flatMap((range) => clipRows(told.record.runs, range))) {
      for await (const found of chunksOf(deps, told, run, input, tally)) {
        await catalog.addChunks(found.map(({ chunk }) => chunk));
        for (const { chunk, times } of found) {
          tally.chunks++;
          if (times) for (const ns of timesThere(chunk, times, erasuresOf(chunk, hidden))) see(ns);
        }
      }
    }
  }
  if (input.sampling.kind === 'regular' && segments.length > 0) {
    const { rate } = input.sampling;
    const expired = { from: 0, to: Math.min(newest.expiredRow, counted.rows) };
    const there = withoutRows([within], [...(expired.to > 0 ? [expired] : []), ...holes]);
    for (const row of there.length > 0 ? [there[0].from, there.at(-1)!.to - 1] : []) {
      see(timesOfRows(segments, rate, { from: row, to: row + 1 })[0]);
    }
  }
  await catalog.setTimes(id, firstNs, lastNs);
}

/** What a sealed series says of its content is compared with what is there. */
async function checkHash(deps: RebuildCatalogDeps, { id, newest }: SeriesPlan, tally: Tally): Promise<void> {
  const { contentHash, deletedAt } = newest;
  if (!contentHash || deletedAt) return;
  const found = await hashContent(deps, id).catch((error: unknown) => {
    if (isVarveError(error)) return null;
    throw error;
  });
  const isSame = found?.values === contentHash.values && found.times === contentHash.times;
  if (!isSame)
    tally.findings.push(finding('content-changed', 'is sealed, and has other samples than then', { series: id }));
}

/** Times of rows of a chunk that are there, the smallest and the largest among them. */
function timesThere(chunk: Chunk, times: Buffer, erasures: readonly Erasure[]): Iterable<bigint> {
  if (erasures.length === 0) return [chunk.firstNs!, chunk.lastNs!];
  const all = viewAs('int64', times) as BigInt64Array;
  return all.filter((ns, i) => !isErased(chunk.firstRow + i, ns, erasures));
}

/** The chunks of a run of rows in one shard, a page at a time, as its flush or compaction had them in the catalog. */
async function* chunksOf(
  { root, hdf5 }: RebuildCatalogDeps,
  told: Told,
  run: RowRange,
  input: NewSeries,
  tally: Tally,
): AsyncGenerator<{ chunk: Chunk; times: Buffer | null }[]> {
  const { seriesId, record, codec, chunkRows } = told;
  const { dtype, missingValue } = input;
  const shape = { dtype, channels: input.channels.length, missingValue };
  const rowBytes = shape.channels * DTYPES[dtype].bytes;
  const isIrregular = input.sampling.kind === 'irregular';
  const begin = run.from - record.firstRow;
  const end = run.to - record.firstRow;
  const file = await ShardBytes.open(root, told.path);
  if (!file) throw new Error(`${told.path} has gone`);
  try {
    const firstBlock = Math.floor(begin / chunkRows);
    const blocks = Math.ceil(end / chunkRows) - firstBlock;
    for (let done = 0; done < blocks; done += PAGE_CHUNKS) {
      const blockRows = Array.from(
        { length: Math.min(PAGE_CHUNKS, blocks - done) },
        (_, i) => (firstBlock + done + i) * chunkRows,
      );
      const places = await hdf5
        .findChunks(root.resolve(told.path), seriesId, blockRows)
        .catch(({ message }: Error) => blockRows.map(() => nowhere(message)));
      const chunks: { chunk: Chunk; times: Buffer | null }[] = [];
      for (const [i, blockRow] of blockRows.entries()) {
        const datasetRow = Math.max(begin, blockRow);
        const rows = Math.min(end, blockRow + chunkRows) - datasetRow;
        const firstRow = record.firstRow + datasetRow;
        const { valuesOffset, valuesLength, timesOffset, timesLength, problem } = places[i];
        const miss = (why: string): void => {
          const message = `rows ${firstRow} to ${firstRow + rows - 1} are missing: ${why}`;
          tally.findings.push(finding('rows-missing', message, { ...placeOf(seriesId, told), row: firstRow }));
        };
        if (valuesOffset === null || (isIrregular && timesOffset === null)) {
          miss(problem ?? 'they were never written');
          continue;
        }
        const place = { codec, skip: datasetRow - blockRow, rows };
        const block = { offset: valuesOffset, length: valuesLength! };
        const timesBlock = timesOffset === null ? null : { offset: timesOffset, length: timesLength! };
        const stored = await readStoredPart(file, { ...place, block, rowBytes });
        const storedTimes =
          timesBlock && (await readStoredPart(file, { ...place, block: timesBlock, rowBytes: NS_BYTES }));
        const [values, times] = await Promise.all([stored.rows(), storedTimes && storedTimes.rows()]).catch(
          ({ message }: Error) => [null, message] as const,
        );
        if (values === null) {
          miss(times);
          continue;
        }
        tally.bytes += values.length + (times?.length ?? 0);
        const chunk: Chunk = {
          seriesId,
          shardId: told.shardId,
          firstRow,
          rows,
          datasetRow,
          skip: place.skip,
          generation: record.generation,
          values: block,
          times: timesBlock,
          codec,
          timesCodec: timesBlock && codec,
          ...contentOf(shape, values, times),
          valuesCrc: stored.crc,
          timesCrc: storedTimes && storedTimes.crc,
        };
        chunks.push({ chunk, times });
      }
      yield chunks;
    }
  } finally {
    await file.close();
  }
}

/** Their rows are gone with the catalog; they would be tidied up. */
async function keepSpool(root: DataRoot, tally: Tally): Promise<void> {
  for (const { path, bytes } of await listSpoolFiles(root)) {
    if (!isSpoolFile(path)) continue;
    const kept = await keepSpooled(root, path);
    const message = `${bytes} bytes of samples that may be in no shard are kept here`;
    tally.findings.push(finding('spool-kept', message, { path: kept }));
  }
}

/** When an id was made, if it says so (RFC 9562, version 7: the first 48 bits are milliseconds). */
function timeOfId(id: string): Date | null {
  return id[14] === '7' ? new Date(parseInt(id.slice(0, 8) + id.slice(9, 13), 16)) : null;
}
