/**
 * Makes the catalog again from the shards alone: for the day on which Postgres is lost and there is no backup of it. The shards are not changed,
 * but for journals, which are settled.
 */
import { v7 as uuidv7 } from 'uuid';
import type { Database } from '../catalog/database.ts';
import { fillEmptyCatalog, type EmptyCatalog } from '../catalog/rebuild.ts';
import { readCatalogIdentity } from '../catalog/catalog-identity.ts';
import type { Chunk } from '../core/chunk.ts';
import { DTYPES, viewAs, type Dtype } from '../core/dtype.ts';
import { erasuresOf, isErased, type Erasure } from '../core/erasure.ts';
import { parseRate } from '../core/rate.ts';
import { orderParts, segmentsFromStarts, type PartsInOrder, type ShardPart } from '../core/rebuild-plan.ts';
import { withoutRows } from '../core/row-ranges.ts';
import { timesOfRows, type Segment } from '../core/segment.ts';
import type { Channel, NewSeries, Sampling, Tags } from '../core/series.ts';
import { contentOf } from '../storage/chunk-content.ts';
import { keepPayload, listShardFiles, listSpoolFiles, parseShardName, parseSpoolName } from '../storage/data-files.ts';
import type { DataRoot } from '../storage/data-root.ts';
import { giveFolder } from '../storage/folder-owner.ts';
import type { Hdf5Reader } from '../storage/hdf5-reader.ts';
import { journalPath } from '../storage/journal.ts';
import { settleShard } from '../storage/settle-shard.ts';
import { ShardBytes } from '../storage/shard-bytes.ts';
import { editGroup } from '../storage/shard-commit.ts';
import type { SurveyedSeries } from '../storage/shard-survey.ts';
import { finding, type Finding } from './finding.ts';
import { applyEdits, type FoundEdit, type RebuiltEdits } from './rebuild-edits.ts';
import { unitsOf } from './tag-units.ts';

export interface RebuildCatalogDeps {
  readonly db: Database;
  readonly root: DataRoot;
  readonly hdf5: Pick<Hdf5Reader, 'survey' | 'findChunks'>;
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
  'series without samples',
  'descriptions and provenance of series, and changes of their names, tags and calibrations since their newest shard was begun',
  'annotations',
  'tokens, but for the first one, which the next start makes work again',
  'acknowledged writes that had not reached a shard; the large ones among them are kept as files in spool/kept',
  'deletions: series that had been deleted are back',
  'idempotency keys and the change feed; commit numbers begin again',
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
  const report = await fillEmptyCatalog(deps.db, async (catalog) => {
    const { shards, series, edits } = await surveyShards(deps, tally, (done, total) =>
      onProgress('shards', done, total),
    );
    const planned = [...series.values()].map((found) => planSeries(found, edits.get(found.id) ?? [], tally));
    const plans = chooseNames(planned.filter(holdsRows), tally);
    await addPlaces(catalog, plans, shards, tally);
    for (const [done, plan] of plans.entries()) {
      onProgress('series', done, plans.length);
      await addSeries(deps, catalog, plan, tally);
    }
    onProgress('series', plans.length, plans.length);
    await keepPayloads(deps.root, tally);
    return { series: plans.length, rows: plans.reduce((rows, plan) => rows + plan.order.rows, 0) };
  });
  giveFolder(deps.root, (await readCatalogIdentity(deps.db)).id);
  const { shards, chunks, bytes, findings, notes } = tally;
  return { ...report, shards, chunks, bytes, findings, notes, notInShards: NOT_IN_SHARDS };
}

class Tally {
  shards = 0;
  chunks = 0;
  bytes = 0;
  readonly findings: Finding[] = [];
  readonly notes: Finding[] = [];
}

interface FoundShard {
  readonly id: string;
  readonly laneId: string;
  readonly path: string;
  readonly bytes: number;
  readonly token: bigint;
}

/** One series in one shard. */
interface FoundPart extends ShardPart, Pick<SurveyedSeries, 'chunkRows' | 'segments'> {
  readonly dtype: Dtype;
  readonly channels: number;
  readonly path: string;
  readonly irregular: boolean;
  readonly rate: string | null;
}

interface FoundSeries {
  readonly id: string;
  readonly parts: FoundPart[];
  /** As the shard with its newest rows describes it. */
  newest: { readonly part: FoundPart; readonly laneId: string; readonly description: SurveyedSeries['description'] };
}

async function surveyShards(
  { root, hdf5 }: RebuildCatalogDeps,
  tally: Tally,
  onProgress: (done: number, total: number) => void,
): Promise<{ shards: Map<string, FoundShard>; series: Map<string, FoundSeries>; edits: Map<string, FoundEdit[]> }> {
  const files = await listShardFiles(root);
  const paths = new Set(files.map(({ path }) => path));
  const shards = new Map<string, FoundShard>();
  const series = new Map<string, FoundSeries>();
  const editsOf = new Map<string, FoundEdit[]>();
  for (const [done, { path, bytes }] of files.entries()) {
    onProgress(done, files.length);
    const name = parseShardName(path);
    if (!name || path !== `shards/${name.shardId.slice(-2)}/${path.slice(path.lastIndexOf('/') + 1)}`) {
      if (!path.endsWith(journalPath(''))) tally.notes.push(finding('other-file', 'is no shard by its name', { path }));
      continue;
    }
    if (paths.has(journalPath(path))) {
      tally.notes.push(finding('journal', `its journal was settled: ${await settleShard(root, path)}`, { path }));
    }
    const survey = await hdf5.survey(root.resolve(path)).catch((error: Error) => {
      tally.findings.push(finding('hdf5-unreadable', `HDF5 cannot open it: ${error.message}`, { path }));
      return null;
    });
    if (!survey) continue;
    const { shardId, laneId } = survey;
    if (shards.has(shardId)) {
      tally.findings.push(
        finding('shard-twice', 'is a shard that another file is, too; left out', { path, shard: shardId }),
      );
      continue;
    }
    shards.set(shardId, { id: shardId, laneId, path, bytes, token: name.token });
    for (const { seriesId, reason } of survey.damaged) {
      const place = { path, shard: shardId, series: seriesId };
      tally.findings.push(finding('hdf5-series', `HDF5 cannot read its group: ${reason}`, place));
    }
    for (const one of survey.series) {
      const { seriesId: id, description, dtype, channels, rows, timeRows, edits, ...rest } = one;
      const found = edits.map((edit) => ({ ...edit, dtype, channels, shardId, path, token: name.token }));
      editsOf.set(id, [...(editsOf.get(id) ?? []), ...found]);
      if (dtype === null || channels === null) continue;
      const irregular = timeRows !== null;
      const rowsInBoth = Math.min(rows, timeRows ?? rows);
      const { rate } = description;
      const read = { path, shardId, token: name.token, rows: rowsInBoth, irregular, rate };
      const part: FoundPart = { ...rest, ...read, dtype, channels };
      const known = series.get(id);
      if (known) known.parts.push(part);
      if (known && !isNewer(part, known.newest.part)) continue;
      const newest = { part, laneId, description };
      if (known) known.newest = newest;
      else series.set(id, { id, parts: [part], newest });
    }
  }
  onProgress(files.length, files.length);
  return { shards, series, edits: editsOf };
}

function isNewer(a: ShardPart, b: ShardPart): boolean {
  return a.firstRow > b.firstRow || (a.firstRow === b.firstRow && a.token > b.token);
}

interface SeriesPlan {
  readonly id: string;
  readonly laneId: string;
  readonly input: NewSeries;
  readonly order: PartsInOrder<FoundPart>;
  readonly segments: readonly Segment[];
  readonly masks: RebuiltEdits;
}

const holdsRows = ({ order }: SeriesPlan): boolean => order.kept.length > 0;

function planSeries({ id, parts, newest }: FoundSeries, edits: readonly FoundEdit[], tally: Tally): SeriesPlan {
  const { part: like, laneId, description } = newest;
  const shape = ({ dtype, channels, rate }: FoundPart): string => `${channels} × ${dtype}, ${rate ?? 'irregular'}`;
  const alike = parts.filter((part) => shape(part) === shape(like));
  for (const part of parts.filter((each) => !alike.includes(each))) {
    const message = `rows are ${shape(part)}, in its newest shard ${shape(like)}; ${part.rows} rows are left out`;
    tally.findings.push(finding('series-differs', message, { ...placeOf(id, part), row: part.firstRow }));
  }
  const order = orderParts(alike);
  reportOrder(id, order, tally);
  const rate = description.rate === null ? undefined : parseRate(description.rate);
  const segments = rate ? segmentsFromStarts(startsOf(order), rate, order.rows) : [];
  if (rate && order.rows > 0 && segments.length === 0) {
    tally.findings.push(finding('segments-missing', 'no shard says when its rows were', { series: id }));
  }
  const sampling: Sampling = rate
    ? { kind: 'regular', rate, startNs: segments[0]?.startNs ?? null }
    : { kind: 'irregular' };
  const input: NewSeries = {
    project: description.project,
    name: description.name,
    description: null,
    dtype: like.dtype,
    channels: JSON.parse(description.channels) as Channel[],
    unit: description.unit,
    scale: description.scale,
    offset: description.offset,
    sampling,
    timeReference: description.timeReference as NewSeries['timeReference'],
    duplicates: description.duplicates as NewSeries['duplicates'],
    codec: description.codec as NewSeries['codec'],
    tags: JSON.parse(description.tags) as Tags,
    provenance: {},
  };
  const { dtype, channels, irregular } = like;
  const masks = applyEdits(id, edits, { dtype, channels, irregular, rows: order.rows }, (each) =>
    tally.findings.push(each),
  );
  return { id, laneId, input, order, segments, masks };
}

function placeOf(
  series: string,
  { shardId, path }: Pick<FoundPart, 'shardId' | 'path'>,
): { series: string; shard: string; path: string } {
  return { series, shard: shardId, path };
}

function reportOrder(id: string, { missing, superseded, rows: end }: PartsInOrder<FoundPart>, tally: Tally): void {
  for (const { from, to } of missing) {
    const message = `rows ${from} to ${to - 1} are in no shard`;
    tally.findings.push(finding('rows-missing', message, { series: id, row: from }));
  }
  for (const { part, rows } of superseded) {
    const place = { ...placeOf(id, part), row: rows.from };
    const message = `rows ${rows.from} to ${rows.to - 1} of this shard were never published: a later one begins at row ${rows.from}`;
    tally.notes.push(finding('rows-superseded', message, place));
    // They were on their way to the later shard when the catalog was lost.
    const beyond = Math.max(rows.from, end);
    if (rows.to > beyond) {
      const left = `rows ${beyond} to ${rows.to - 1} of this shard are in no later one and were left out`;
      tally.findings.push(finding('rows-left-out', left, { ...place, row: beyond }));
    }
  }
}

function startsOf({ kept }: PartsInOrder<FoundPart>): { row: number; startNs: bigint }[] {
  return kept.flatMap(({ part, rows }) =>
    part.segments.filter(({ row }) => row >= part.firstRow && row < part.firstRow + rows),
  );
}

/** Two series may bear one name by now: one that was deleted or renamed comes back as its shard calls it. The newer one keeps the name. */
function chooseNames(plans: readonly SeriesPlan[], tally: Tally): SeriesPlan[] {
  const taken = new Set<string>();
  // Ids of series begin with the time at which they were made.
  const newestFirst = [...plans].sort((a, b) => (a.id > b.id ? -1 : 1));
  return newestFirst.map((plan) => {
    const { project, name } = plan.input;
    const isFree = !taken.has(JSON.stringify([project, name]));
    const chosen = isFree ? name : `${name} (${plan.id})`;
    taken.add(JSON.stringify([project, chosen]));
    if (isFree) return plan;
    const message = `another series of ${project} is called ${JSON.stringify(name)}, too; this one, deleted or renamed before, is now ${JSON.stringify(chosen)}`;
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
  const tokens = new Map<string, bigint>();
  for (const { laneId } of plans) seriesCounts.set(laneId, (seriesCounts.get(laneId) ?? 0) + 1);
  for (const { laneId, token } of shards.values()) {
    const highest = tokens.get(laneId);
    tokens.set(laneId, highest !== undefined && highest > token ? highest : token);
  }
  for (const [laneId, token] of tokens) await catalog.addLane(laneId, seriesCounts.get(laneId) ?? 0, token);
  const needed = new Set(
    plans
      .flatMap(({ order, masks }) => [...order.kept.map(({ part }) => part), ...masks.kept])
      .map((each) => each.shardId),
  );
  for (const { id, laneId, path, bytes, token } of shards.values()) {
    if (!needed.has(id)) {
      tally.notes.push(finding('shard-unneeded', 'none of its rows count; left out', { shard: id, path }));
      continue;
    }
    await catalog.addShard({ id, laneId, path, bytes, leaseToken: token, createdAt: timeOfId(id) });
    tally.shards++;
  }
}

async function addSeries(
  deps: RebuildCatalogDeps,
  catalog: EmptyCatalog,
  { id, laneId, input, order, segments, masks }: SeriesPlan,
  tally: Tally,
): Promise<void> {
  await catalog.addSeries(
    { ...input, id, laneId, createdAt: timeOfId(id), rows: order.rows, segments },
    unitsOf(input.tags),
  );
  if (masks.edits > 0) await catalog.addMasks(id, masks);
  let firstNs: bigint | null = null;
  let lastNs: bigint | null = null;
  const see = (ns: bigint): void => {
    if (firstNs === null || ns < firstNs) firstNs = ns;
    if (lastNs === null || ns > lastNs) lastNs = ns;
  };
  const appended = order.kept.map(({ part, rows }): ChunkedRows => ({ ...part, rows, group: id, generation: 0 }));
  const replaced = masks.replacements.map((edit): ChunkedRows => ({
    ...edit,
    dtype: input.dtype,
    channels: input.channels.length,
    irregular: false,
    group: editGroup(id, edit.generation),
  }));
  for (const rows of [...appended, ...replaced]) {
    for await (const found of chunksOf(deps, id, rows, tally)) {
      await catalog.addChunks(found.map(({ chunk }) => chunk));
      for (const { chunk, times } of found) {
        tally.chunks++;
        if (times) for (const ns of timesThere(chunk, times, erasuresOf(chunk, masks.erasures))) see(ns);
      }
    }
  }
  if (input.sampling.kind === 'regular' && segments.length > 0) {
    const { rate } = input.sampling;
    const there = withoutRows([{ from: 0, to: order.rows }], masks.holes);
    for (const row of there.length > 0 ? [there[0].from, there.at(-1)!.to - 1] : []) {
      see(timesOfRows(segments, rate, { from: row, to: row + 1 })[0]);
    }
  }
  await catalog.setTimes(id, firstNs, lastNs, input.sampling.kind === 'irregular');
}

/** Times of rows of a chunk that are there, the smallest and the largest among them. */
function timesThere(chunk: Chunk, times: Buffer, erasures: readonly Erasure[]): Iterable<bigint> {
  if (erasures.length === 0) return [chunk.firstNs!, chunk.lastNs!];
  const all = viewAs('int64', times) as BigInt64Array;
  return all.filter((ns, i) => !isErased(chunk.firstRow + i, ns, erasures));
}

/** Rows in one dataset of a shard. */
interface ChunkedRows extends Pick<FoundPart, 'path' | 'shardId' | 'dtype' | 'channels' | 'chunkRows' | 'irregular'> {
  /** Where the shard has them. */
  readonly group: string;
  readonly generation: number;
  readonly firstRow: number;
  readonly rows: number;
}

/** The chunks of one series in one shard, a page at a time, as a commit would have published them. */
async function* chunksOf(
  { root, hdf5 }: RebuildCatalogDeps,
  seriesId: string,
  part: ChunkedRows,
  tally: Tally,
): AsyncGenerator<{ chunk: Chunk; times: Buffer | null }[]> {
  const keptRows = part.rows;
  const rowBytes = part.channels * DTYPES[part.dtype].bytes;
  const file = await ShardBytes.open(root, part.path);
  if (!file) throw new Error(`${part.path} has gone`);
  try {
    for (let from = 0; from < keptRows; from += PAGE_CHUNKS * part.chunkRows) {
      const to = Math.min(keptRows, from + PAGE_CHUNKS * part.chunkRows);
      const datasetRows = Array.from(
        { length: Math.ceil((to - from) / part.chunkRows) },
        (_, i) => from + i * part.chunkRows,
      );
      const places = await hdf5
        .findChunks(root.resolve(part.path), part.group, datasetRows)
        .catch(({ message }: Error) =>
          datasetRows.map(() => ({
            valuesOffset: null,
            valuesLength: null,
            timesOffset: null,
            timesLength: null,
            problem: message,
          })),
        );
      const chunks: { chunk: Chunk; times: Buffer | null }[] = [];
      for (const [i, datasetRow] of datasetRows.entries()) {
        const rows = Math.min(part.chunkRows, keptRows - datasetRow);
        const firstRow = part.firstRow + datasetRow;
        const { valuesOffset, timesOffset, problem } = places[i];
        if (valuesOffset === null || (part.irregular && timesOffset === null)) {
          const why = problem ?? 'they were never written';
          const message = `rows ${firstRow} to ${firstRow + rows - 1} are missing: ${why}`;
          tally.findings.push(finding('rows-missing', message, { ...placeOf(seriesId, part), row: firstRow }));
          continue;
        }
        const values = await file.read({ offset: valuesOffset, length: rows * rowBytes });
        const times = timesOffset === null ? null : await file.read({ offset: timesOffset, length: rows * NS_BYTES });
        tally.bytes += values.length + (times?.length ?? 0);
        const chunk: Chunk = {
          seriesId,
          shardId: part.shardId,
          firstRow,
          rows,
          datasetRow,
          skip: 0,
          generation: part.generation,
          values: { offset: valuesOffset, length: part.chunkRows * rowBytes },
          times: timesOffset === null ? null : { offset: timesOffset, length: part.chunkRows * NS_BYTES },
          codec: 'none',
          timesCodec: timesOffset === null ? null : 'none',
          ...contentOf(part.dtype, part.channels, values, times),
        };
        chunks.push({ chunk, times });
      }
      yield chunks;
    }
  } finally {
    await file.close();
  }
}

/** Their writes are gone with the catalog; nobody would need them, and they would be tidied up. */
async function keepPayloads(root: DataRoot, tally: Tally): Promise<void> {
  for (const { path, bytes } of await listSpoolFiles(root)) {
    if (parseSpoolName(path) === null) continue;
    const kept = await keepPayload(root, path);
    const message = `${bytes} bytes of an acknowledged write that may have reached no shard are kept here`;
    tally.findings.push(finding('payload-kept', message, { path: kept }));
  }
}

/** When an id was made, if it says so (RFC 9562, version 7: the first 48 bits are milliseconds). */
function timeOfId(id: string): Date | null {
  return id[14] === '7' ? new Date(parseInt(id.slice(0, 8) + id.slice(9, 13), 16)) : null;
}
