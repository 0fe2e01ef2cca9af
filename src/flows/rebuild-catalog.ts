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
import type { RowShape } from '../core/missing-value.ts';
import { parseRate } from '../core/rate.ts';
import { orderParts, segmentsFromStarts, type PartsInOrder, type ShardPart } from '../core/rebuild-plan.ts';
import { withoutRows } from '../core/row-ranges.ts';
import { timesOfRows, type Segment } from '../core/segment.ts';
import type { Channel, NewSeries, Sampling, Tags } from '../core/series.ts';
import { contentOf } from '../storage/chunk-content.ts';
import { keepSpooled, listShardFiles, listSpoolFiles, parseShardName, isSpoolFile } from '../storage/data-files.ts';
import type { DataRoot } from '../storage/data-root.ts';
import { giveFolder } from '../storage/folder-owner.ts';
import type { Hdf5Reader } from '../storage/hdf5-reader.ts';
import { journalPath } from '../storage/journal.ts';
import { settleShard } from '../storage/settle-shard.ts';
import { ShardBytes } from '../storage/shard-bytes.ts';
import { editGroup } from '../storage/shard-commit.ts';
import type { ShardSurvey, SurveyedSeal, SurveyedSeries } from '../storage/shard-survey.ts';
import { nowhere } from '../storage/chunk-place.ts';
import { readStoredPart } from '../storage/stored-chunk.ts';
import { finding, type Finding } from './finding.ts';
import { absentRows, applyEdits, type FoundEdit, type RebuiltEdits } from './rebuild-edits.ts';
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
  'descriptions, external ids and provenance of series, and changes of their names, tags and calibrations since their newest shard was begun',
  'annotations, and what is known of subjects',
  'tokens, but for the first one, which the next start makes work again',
  'acknowledged writes that had not reached a shard; the large ones among them are kept as files in spool/kept',
  'deletions: series that had been deleted are back',
  'idempotency keys and the change feed; commit numbers begin again',
  'summaries of sealed shards: overviews read samples instead, until the shards are rewritten; of samples that have expired nothing is left',
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
  readonly parents: readonly string[] | null;
}

/** One series in one shard. */
interface FoundPart extends ShardPart, Pick<SurveyedSeries, 'chunkRows' | 'segments' | 'sealed'> {
  /** Row of the series that row 0 of the datasets is. */
  readonly datasetsAt: number;
  readonly codec: string;
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
  const surveyed = new Map<string, FoundShard & { readonly survey: ShardSurvey }>();
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
    const { shardId, laneId, parents } = survey;
    if (surveyed.has(shardId)) {
      tally.findings.push(
        finding('shard-twice', 'is a shard that another file is, too; left out', { path, shard: shardId }),
      );
      continue;
    }
    surveyed.set(shardId, { id: shardId, laneId, path, bytes, token: name.token, parents, survey });
  }
  onProgress(files.length, files.length);
  const shards = new Map<string, FoundShard>();
  const series = new Map<string, FoundSeries>();
  const editsOf = new Map<string, FoundEdit[]>();
  for (const found of withoutReplaced([...surveyed.values()], tally)) {
    const { survey, ...shard } = found;
    const { id: shardId, laneId, path, token } = shard;
    shards.set(shardId, shard);
    for (const { seriesId, reason } of survey.damaged) {
      const place = { path, shard: shardId, series: seriesId };
      tally.findings.push(finding('hdf5-series', `HDF5 cannot read its group: ${reason}`, place));
    }
    for (const one of survey.series) {
      const { seriesId: id, description, dtype, channels, rows, timeRows, edits, ...rest } = one;
      const ofShard = edits.map((edit) => ({ ...edit, dtype, channels, shardId, path, token }));
      editsOf.set(id, [...(editsOf.get(id) ?? []), ...ofShard]);
      if (dtype === null || channels === null) continue;
      const irregular = timeRows !== null;
      const rowsInBoth = Math.min(rows, timeRows ?? rows);
      const { rate } = description;
      const { codec } = description;
      const read = { path, shardId, token, rows: rowsInBoth, irregular, rate, codec, datasetsAt: rest.firstRow };
      const part: FoundPart = { ...rest, ...read, dtype, channels };
      const known = series.get(id);
      if (known) known.parts.push(part);
      if (known && !isNewer(part, known.newest.part)) continue;
      const newest = { part, laneId, description };
      if (known) known.newest = newest;
      else series.set(id, { id, parts: [part], newest });
    }
  }
  return { shards, series, edits: editsOf };
}

/** A sealed shard stands for those whose rows it took over; of two that took over the same, the one of the higher token was published, if any was. */
function withoutReplaced<S extends FoundShard>(found: readonly S[], tally: Tally): S[] {
  const replacedBy = new Map<string, string>();
  const leaveOut = ({ id, path }: S, by: string): void =>
    void tally.notes.push(finding('shard-replaced', `its rows are in shard ${by}; left out`, { shard: id, path }));
  const newestFirst = [...found].sort((a, b) => (a.token > b.token ? -1 : 1));
  for (const shard of newestFirst) {
    if (!shard.parents || replacedBy.has(shard.id)) continue;
    const other = shard.parents.map((parent) => replacedBy.get(parent)).find((by) => by !== undefined);
    if (other !== undefined) replacedBy.set(shard.id, other);
    else for (const parent of shard.parents) replacedBy.set(parent, shard.id);
  }
  return found.filter((shard) => {
    const by = replacedBy.get(shard.id);
    if (by !== undefined) leaveOut(shard, by);
    return by === undefined;
  });
}

function isNewer(a: ShardPart, b: ShardPart): boolean {
  return a.firstRow > b.firstRow || (a.firstRow === b.firstRow && a.token > b.token);
}

interface SeriesPlan {
  readonly id: string;
  readonly laneId: string;
  readonly input: NewSeries;
  readonly order: PartsInOrder<FoundPart>;
  /** Sealed rows that cover others. */
  readonly layers: readonly FoundPart[];
  readonly segments: readonly Segment[];
  readonly masks: RebuiltEdits;
}

const holdsRows = ({ order, layers }: SeriesPlan): boolean => order.kept.length > 0 || layers.length > 0;

function planSeries({ id, parts, newest }: FoundSeries, edits: readonly FoundEdit[], tally: Tally): SeriesPlan {
  const { part: like, laneId, description } = newest;
  const shape = ({ dtype, channels, rate }: FoundPart): string => `${channels} × ${dtype}, ${rate ?? 'irregular'}`;
  const alike = parts.filter((part) => shape(part) === shape(like));
  for (const part of parts.filter((each) => !alike.includes(each))) {
    const message = `rows are ${shape(part)}, in its newest shard ${shape(like)}; ${part.rows} rows are left out`;
    tally.findings.push(finding('series-differs', message, { ...placeOf(id, part), row: part.firstRow }));
  }
  const { base, layers } = layerParts(alike);
  const seal = newestSeal(alike);
  const inOrder = orderParts(base);
  const absent = seal ? absentRows(seal) : [];
  const rowsKnown = Math.max(inOrder.rows, absent.at(-1)?.to ?? 0);
  // Numbers of rows that sealing dropped from an irregular series stay vacant.
  const missing = like.irregular && seal ? [] : withoutRows(inOrder.missing, absent);
  const order = { ...inOrder, missing, rows: rowsKnown };
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
    continuity: description.continuity as NewSeries['continuity'],
    resolution: description.resolution,
    missingValue: description.missingValue,
    timeZone: description.timeZone,
    externalIds: {},
    provenance: {},
  };
  const { dtype, channels, irregular } = like;
  const masks = applyEdits(id, seal, edits, { dtype, channels, irregular, rows: order.rows }, (each) =>
    tally.findings.push(each),
  );
  return { id, laneId, input, order, layers, segments, masks };
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

/** In order, each row once. What a sealed shard says holds for all its rows, also those that are not there. */
function startsOf({ kept }: PartsInOrder<FoundPart>): { row: number; startNs: bigint }[] {
  const starts = kept.flatMap(({ part, rows }) =>
    part.segments.filter(({ row }) => part.sealed || (row >= part.firstRow && row < part.firstRow + rows)),
  );
  const byRow = new Map(starts.map((start) => [start.row, start]));
  return [...byRow.values()].sort((a, b) => a.row - b.row);
}

/** Each run of rows of a sealed shard is a part of its own. One that lies within another part is a replacement of rows of it. */
function layerParts(parts: readonly FoundPart[]): { base: FoundPart[]; layers: FoundPart[] } {
  const runs = parts.flatMap((part) =>
    part.sealed ? part.sealed.runs.map(({ from, to }) => ({ ...part, firstRow: from, rows: to - from })) : [part],
  );
  const generation = ({ sealed }: FoundPart): number => sealed?.generation ?? 0;
  const isLayer = (run: FoundPart): boolean =>
    run.sealed !== null &&
    runs.some(
      (other) =>
        other.shardId !== run.shardId &&
        generation(other) < generation(run) &&
        other.firstRow <= run.firstRow &&
        run.firstRow + run.rows <= other.firstRow + other.rows,
    );
  return { base: runs.filter((run) => !isLayer(run)), layers: runs.filter(isLayer) };
}

/** What the newest sealed shard knows of the edits of the series. */
function newestSeal(parts: readonly FoundPart[]): SurveyedSeal | null {
  const sealed = parts.filter((part) => part.sealed).sort((a, b) => (a.token > b.token ? -1 : 1));
  return sealed[0]?.sealed ?? null;
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
      .flatMap(({ order, layers, masks }) => [...order.kept.map(({ part }) => part), ...layers, ...masks.kept])
      .map((each) => each.shardId),
  );
  for (const { id, laneId, path, bytes, token, parents } of shards.values()) {
    if (!needed.has(id)) {
      tally.notes.push(finding('shard-unneeded', 'none of its rows count; left out', { shard: id, path }));
      continue;
    }
    await catalog.addShard({ id, laneId, path, bytes, leaseToken: token, createdAt: timeOfId(id), parents });
    tally.shards++;
  }
}

async function addSeries(
  deps: RebuildCatalogDeps,
  catalog: EmptyCatalog,
  { id, laneId, input, order, layers, segments, masks }: SeriesPlan,
  tally: Tally,
): Promise<void> {
  await catalog.addSeries(
    { ...input, id, laneId, createdAt: timeOfId(id), rows: order.rows, segments },
    unitsOf(input.tags),
  );
  if (masks.edits > 0 || masks.holes.length > 0) await catalog.addMasks(id, masks);
  let firstNs: bigint | null = null;
  let lastNs: bigint | null = null;
  const see = (ns: bigint): void => {
    if (firstNs === null || ns < firstNs) firstNs = ns;
    if (lastNs === null || ns > lastNs) lastNs = ns;
  };
  const sealedOrNot = [...order.kept, ...layers.map((part) => ({ part, rows: part.rows }))];
  const appended = sealedOrNot.map(({ part, rows }): ChunkedRows => ({
    ...part,
    rows,
    missingValue: input.missingValue,
    group: id,
    generation: part.sealed?.generation ?? 0,
  }));
  const replaced = masks.replacements.map((edit): ChunkedRows => ({
    ...edit,
    dtype: input.dtype,
    channels: input.channels.length,
    missingValue: input.missingValue,
    irregular: false,
    group: editGroup(id, edit.generation),
    datasetsAt: edit.firstRow,
    sealed: null,
    codec: 'none',
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
interface ChunkedRows
  extends
    RowShape,
    Pick<FoundPart, 'path' | 'shardId' | 'chunkRows' | 'irregular' | 'datasetsAt' | 'sealed' | 'codec'> {
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
  const rowBytes = part.channels * DTYPES[part.dtype].bytes;
  // Of a hot shard, whatever the series' codec, nothing is compressed.
  const codec = part.sealed ? part.codec : 'none';
  const begin = part.firstRow - part.datasetsAt;
  const end = begin + part.rows;
  const file = await ShardBytes.open(root, part.path);
  if (!file) throw new Error(`${part.path} has gone`);
  try {
    const firstBlock = Math.floor(begin / part.chunkRows);
    const blocks = Math.ceil(end / part.chunkRows) - firstBlock;
    for (let done = 0; done < blocks; done += PAGE_CHUNKS) {
      const blockRows = Array.from(
        { length: Math.min(PAGE_CHUNKS, blocks - done) },
        (_, i) => (firstBlock + done + i) * part.chunkRows,
      );
      const places = await hdf5
        .findChunks(root.resolve(part.path), part.group, blockRows)
        .catch(({ message }: Error) => blockRows.map(() => nowhere(message)));
      const chunks: { chunk: Chunk; times: Buffer | null }[] = [];
      for (const [i, blockRow] of blockRows.entries()) {
        const datasetRow = Math.max(begin, blockRow);
        const rows = Math.min(end, blockRow + part.chunkRows) - datasetRow;
        const firstRow = part.datasetsAt + datasetRow;
        const { valuesOffset, valuesLength, timesOffset, timesLength, problem } = places[i];
        const miss = (why: string): void => {
          const message = `rows ${firstRow} to ${firstRow + rows - 1} are missing: ${why}`;
          tally.findings.push(finding('rows-missing', message, { ...placeOf(seriesId, part), row: firstRow }));
        };
        if (valuesOffset === null || (part.irregular && timesOffset === null)) {
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
          shardId: part.shardId,
          firstRow,
          rows,
          datasetRow,
          skip: place.skip,
          generation: part.generation,
          values: block,
          times: timesBlock,
          codec,
          timesCodec: timesBlock && codec,
          ...contentOf(part, values, times),
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

/** Their writes are gone with the catalog; nobody would need them, and they would be tidied up. */
async function keepPayloads(root: DataRoot, tally: Tally): Promise<void> {
  for (const { path, bytes } of await listSpoolFiles(root)) {
    if (!isSpoolFile(path)) continue;
    const kept = await keepSpooled(root, path);
    const message = `${bytes} bytes of an acknowledged write that may have reached no shard are kept here`;
    tally.findings.push(finding('payload-kept', message, { path: kept }));
  }
}

/** When an id was made, if it says so (RFC 9562, version 7: the first 48 bits are milliseconds). */
function timeOfId(id: string): Date | null {
  return id[14] === '7' ? new Date(parseInt(id.slice(0, 8) + id.slice(9, 13), 16)) : null;
}
